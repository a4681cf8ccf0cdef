# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene's folder: round trip, and files that do not belong together."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from splatonym.core.errors import InvalidFile
from splatonym.core.files import read_json, write_json
from splatonym.core.gaussians import GaussianArrays
from splatonym.core.labels import UNLABELLED, LabelMap
from splatonym.core.scene import SemanticScene, read_labels, read_scene, write_scene
from splatonym.core.views import Instance

LABELS = LabelMap(("chair", "café table"))


def scene(labels: list[int] | None = None) -> SemanticScene:
    n = 4
    gaussians = GaussianArrays(
        means=np.arange(12, dtype=np.float32).reshape(n, 3),
        quats=np.tile(np.array([1, 0, 0, 0], np.float32), (n, 1)),
        scales=np.ones((n, 3), np.float32),
        opacities=np.full(n, 0.5, np.float32),
        sh=np.zeros((n, 1, 3), np.float32),
        label=np.array(labels or [0, 1, 1, 2], np.int32),
        instance=np.array([3, 5, 5, 0], np.int32),
        confidence=np.ones(n, np.float32),
    )
    return SemanticScene("A room", gaussians, LABELS, {3: Instance(3, "Stool", "chair"), 5: Instance(5, "", "café table")})


def test_round_trip(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "result"
    write_scene(folder, scene())
    back = read_scene(folder)
    assert (back.name, back.labels.names, back.instances) == ("A room", LABELS.names, scene().instances)
    np.testing.assert_array_equal(back.gaussians.label, scene().gaussians.label)  # type: ignore[arg-type]
    assert back.counts() == {"chair": 1, "café table": 2, UNLABELLED: 1}
    assert sorted(p.name for p in folder.iterdir()) == ["labels.json", "scene.ply"]
    assert json.loads((folder / "labels.json").read_text(encoding="utf-8"))["classes"] == list(LABELS.names)


def test_strict_has_no_labels(tmp_path: Path) -> None:
    write_scene(tmp_path, scene(), strict=True)
    back = read_scene(tmp_path)
    assert back.gaussians.label is None and back.counts() == {} and back.labels.names == LABELS.names


def test_an_empty_scene(tmp_path: Path) -> None:
    write_scene(tmp_path, replace(scene(), gaussians=scene().gaussians.select(np.zeros(4, bool))))
    assert len(read_scene(tmp_path).gaussians) == 0


def test_a_name_is_the_folder_s_where_none_is_written(tmp_path: Path) -> None:
    write_scene(tmp_path / "kitchen", replace(scene(), name=""))
    assert read_scene(tmp_path / "kitchen").name == "kitchen"


def test_labels_beyond_the_list(tmp_path: Path) -> None:
    write_scene(tmp_path, scene([0, 1, 9, 2]))
    with pytest.raises(InvalidFile, match="label 9"):
        read_scene(tmp_path)


@pytest.mark.parametrize("name", ["scene.ply", "labels.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write_scene(tmp_path, scene())
    (tmp_path / name).unlink()
    with pytest.raises(InvalidFile, match=name):
        read_scene(tmp_path)


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InvalidFile, match="is a file"):
        write_scene(tmp_path / "out", scene())
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"classes": "chair"},
        {"classes": [1, 2]},
        {"classes": ["a", "a"]},
        {"classes": [""]},
        {"classes": ["a"], "instances": []},
        {"classes": ["a"], "instances": {"x": {"class": "a"}}},
        {"classes": ["a"], "instances": {"1.5": {"class": "a"}}},
        {"classes": ["a"], "instances": {"0": {"class": "a"}}},
        {"classes": ["a"], "instances": {"1": {"name": "no class"}}},
        {"classes": ["a"], "instances": {"1": "a"}},
        {"classes": [f"c{k}" for k in range(300)]},
    ],
)
def test_other_label_files_are_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "labels.json"
    write_json(path, content)
    with pytest.raises(InvalidFile, match=r"labels\.json"):
        read_labels(path)


def test_an_instance_s_class_need_not_stand_in_the_list(tmp_path: Path) -> None:
    write_json(tmp_path / "l.json", {"classes": ["a"], "instances": {"7": {"class": "b", "more": 1}}})
    name, labels, instances = read_labels(tmp_path / "l.json")
    assert (name, labels.names, instances) == ("", ("a", UNLABELLED, "b"), {7: Instance(7, "", "b")})


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"a": "\\', "[" * 100_000, "\ufeff{}", '{"a": ' + "9" * 5000 + "}"])
def test_other_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidFile, match=r"a\.json"):
        read_json(tmp_path / "a.json")


def test_json_that_is_not_text_or_not_there_or_too_long(tmp_path: Path) -> None:
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "long.json").write_text(json.dumps({"a": "x" * 100}))
    for name, limit in (("bytes.json", 1000), ("long.json", 50), ("none.json", 1000)):
        with pytest.raises(InvalidFile, match=name):
            read_json(tmp_path / name, limit)
