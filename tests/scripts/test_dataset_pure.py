# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the room generator that need no Blender: classes, splits, poses, folders."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from splatonym.core.labels import preset

SCRIPTS = Path(__file__).resolve().parent.parent.parent / "scripts"
sys.path.insert(0, str(SCRIPTS))
from dataset import folders, taxonomy, views  # noqa: E402

points = st.tuples(*[st.floats(-5, 5, allow_subnormal=False)] * 3)


def model(name: str, cls: str = "chair") -> taxonomy.Model:
    return taxonomy.Model(name, name, "", "?", "Scopia", Path("x.sh3f"), "m.obj", (1, 1, 1), 0, (), cls)


def test_the_classes_are_those_of_the_presets() -> None:
    assert tuple(taxonomy.CLASSES) == preset("indoor").names[:-1] == preset("rooms").names[:-1]


@pytest.mark.parametrize(
    ("name", "category", "size", "cls"),
    [
        ("Armchair", "Living room", (0.8, 0.8, 0.9), "chair"),
        ("Bedside lamp", "Lights", (0.2, 0.2, 0.4), "lamp"),
        ("Sink cabinet", "Bathroom", (0.6, 0.5, 0.8), "cabinet"),
        ("Double window", "Doors and windows", (1.2, 0.1, 1.2), "window"),
        ("Open door", "Doors and windows", (0.9, 0.1, 2.0), None),
        ("Street lamp", "Exterior", (0.3, 0.3, 3.0), None),
        ("Spoon", "Kitchen", (0.02, 0.15, 0.01), "small_object"),
        ("Piano", "Living room", (1.5, 0.6, 1.2), "other"),
        ("Palm", "Plants", (1.0, 1.0, 3.0), None),
        ("Man", "Characters", (0.5, 0.3, 1.8), None),
    ],
)
def test_names_are_classified(name: str, category: str, size: tuple[float, ...], cls: str | None) -> None:
    assert taxonomy.classify(name, category, size) == cls


@given(st.text(max_size=30), st.tuples(*[st.floats(0.01, 4)] * 3))
def test_any_name_gets_a_known_class_or_none(name: str, size: tuple[float, ...]) -> None:
    assert taxonomy.classify(name, "", size) in {None, *taxonomy.CLASSES}


@given(st.lists(st.text(min_size=1, max_size=12), unique=True, max_size=40))
def test_no_held_out_model_is_in_a_training_room(names: list[str]) -> None:
    by_class = {"chair": [model(n) for n in names]}
    train, val = (taxonomy.for_split(by_class, split)["chair"] for split in ("train", "val"))
    assert not any(m.held_out for m in train)
    held_out = [m for m in by_class["chair"] if m.held_out]
    assert val == (held_out if len(held_out) >= 2 else train)


def test_a_twelfth_of_the_rooms_is_for_validation() -> None:
    assert [s for s in range(24) if taxonomy.split_of(s) == "val"] == [0, 12]


def test_a_catalogue_is_read() -> None:
    raw = b"# text\nid#1=a\nname#1=Caf\\u00e9 chair\nwidth#1=50\\\n  .5\nid#2 : b\n"
    assert taxonomy.entries(raw) == [{"id": "a", "name": "Caf\u00e9 chair", "width": "50.5"}, {"id": "b"}]


@given(points, points, st.floats(-0.5, 0.5))
def test_a_camera_looks_at_its_target(eye: tuple[float, ...], target: tuple[float, ...], roll: float) -> None:
    way = np.subtract(target, eye)
    if np.linalg.norm(way[:2]) < 0.1:
        return
    pose = views.look_at(eye, target, roll)
    assert np.allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), atol=1e-9)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    assert np.allclose(-pose[:3, 2] * np.linalg.norm(way), way, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.floats(-0.3, 0.3), st.floats(1.5, 4.0))
def test_what_two_views_of_a_wall_share(shift: float, distance: float) -> None:
    """Two cameras before a plane, side by side: the shared part follows from their distance."""
    size, focal = 32, 30.0
    left = views.look_at((0, 0, 1), (0, 1, 1))
    right = views.look_at((shift, 0, 1), (shift, 1, 1))
    depth = np.full((size, size), distance)
    shared = views.overlap((left, depth, None), (right, depth, None), focal)
    assert shared == pytest.approx(1 - abs(shift) * focal / distance / size, abs=1.5 / size)


def test_a_camera_stands_in_the_room_and_not_in_furniture() -> None:
    room = SimpleNamespace(size=(4, 4, 2.5), lamp=None, boxes=[(2, 2, 0.5, 0.5, 1.0)])
    assert views.standable(room, 1, 1, 1.5)
    assert not views.standable(room, 0.1, 1, 1.5)
    assert not views.standable(room, 2, 2, 1.2)


def drawn_room(folder: Path, seed: int) -> None:
    """Six views of a plane, written as a room."""
    size, focal = 24, 20.0
    poses = [views.look_at((0.1 * k, 0, 1), (0.1 * k, 1, 1)) for k in range(7)]
    depth, instance = np.full((size, size), 2.0, np.float32), np.ones((size, size), np.int32)
    found = [("wide" if k == 6 else "arc", pose, depth, instance) for k, pose in enumerate(poses)]
    item = {"class": "wall", "name": "wall", "model": None, "held_out": False}
    room = SimpleNamespace(kind="bath", size=(1.0, 2.0, 3.0), instances={1: item})
    colours = [np.full((size, size, 3), 100, np.uint8)] * 7
    folders.write(folder, seed, "train", room, (size, focal), found, colours, taxonomy.CLASSES)


def test_a_room_is_written_whole_and_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn_room(tmp_path, 7)
    drawn_room(tmp_path, 7)  # a second process made the same room: nothing is left over
    assert [f.name for f in tmp_path.iterdir()] == ["room_00007"]
    transforms, labels, read = folders.read(tmp_path / "room_00007")
    assert len(read) == len(transforms["frames"]) == 7
    assert labels["classes"] == taxonomy.CLASSES
    assert np.allclose(read[0][1], 2)
    assert (read[0][3] == taxonomy.CLASSES.index("wall")).all()
    folders.check(folders.list_rooms(tmp_path))
    assert "arc, next" in capsys.readouterr().out
    folders.pack(folders.list_rooms(tmp_path), tmp_path / "shards")
    assert (tmp_path / "shards" / "rooms_train_00.tar").is_file()
    folders.sheet(folders.list_rooms(tmp_path), tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 0


def test_views_agree_with_themselves(tmp_path: Path) -> None:
    drawn_room(tmp_path, 1)
    transforms, _, read = folders.read(tmp_path / "room_00001")
    poses = [np.array(f["transform_matrix"]) for f in transforms["frames"]]
    inside, hidden, close, same, through = folders.compare(read[0], read[1], poses[0], poses[1], transforms["fl_x"])
    assert inside == close == same > 300
    assert hidden == through == 0


def test_the_pure_parts_need_no_blender() -> None:
    code = "import json, sys; from dataset import folders, taxonomy, views; print(json.dumps('bpy' in sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True)
    assert json.loads(out.stdout) is False
