# SPDX-License-Identifier: GPL-3.0-or-later
"""`splatonym predict --label-source text`, `label`, `query` and `models`, as a person types them."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from splatonym.core.ply import read_ply
from splatonym.core.scene import SEMANTICS_NAME, read_scene
from splatonym.server.cli import main
from splatonym.tests import synthetic
from test_cli import refused
from test_semantic_verbs import own_cache  # noqa: F401 - a fixture

NAMES = "wall,floor,ceiling,table=desk,cabinet"


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return synthetic.write_capture(tmp_path_factory.mktemp("room"))


@pytest.fixture(scope="module")
def made(room, tmp_path_factory):
    """A result with labels from text, and one with the scene's own."""
    folder = tmp_path_factory.mktemp("results")
    words = ["--label-source", "text", "--labels", NAMES, "--model", "tiny", "-q"]
    assert main(["predict", str(room), "-o", str(folder / "text"), "--views", "0,2,4", *words]) == 0
    assert main(["predict", str(room), "-o", str(folder / "scene"), "--views", "0,2,4", "-q"]) == 0
    return folder


@pytest.fixture
def result(made, tmp_path):
    return shutil.copytree(made / "text", tmp_path / "text")


def test_predict_writes_the_codebook_and_says_who_named(result):
    scene = read_scene(result)
    report = json.loads((result / "report.json").read_text())
    assert scene.labels.names == ("wall", "floor", "ceiling", "table", "cabinet", "unlabelled") and scene.codebook is not None
    assert report["label_source"] == "text" and report["label_model"] == "tiny" and report["words"] == len(scene.codebook)
    assert report["settings"]["label_options"] == {"model": "tiny"}


def test_label_gives_other_names_and_teaches(result, capsys):
    before = read_scene(result)
    assert main(["label", str(result), "--labels", "cupboard,floor", "-q"]) == 0
    after = read_scene(result)
    assert after.labels.names == ("cupboard", "floor", "unlabelled")
    assert np.array_equal(after.gaussians.words, before.gaussians.words)
    assert main(["label", str(result), "--teach", "7=altar", "-q"]) == 0
    taught = read_scene(result)
    mine = taught.gaussians.instance == 7
    assert (taught.gaussians.label[mine] == taught.labels.id_of("altar")).all() and "altar" in capsys.readouterr().out
    assert main(["label", str(result), "--teach", "7=", "--labels", NAMES, "-q"]) == 0
    assert np.array_equal(read_scene(result).gaussians.label, before.gaussians.label)
    assert json.loads((result / "report.json").read_text())["counts"] == before.counts()


def test_label_describes_a_result_with_other_labels_from_its_inputs(made, tmp_path):
    result = shutil.copytree(made / "scene", tmp_path / "scene")
    assert not (result / SEMANTICS_NAME).exists()
    assert main(["label", str(result), "--labels", NAMES, "--model", "tiny", "--regions", "segments", "-q"]) == 0
    scene = read_scene(result)
    assert scene.codebook.model == "tiny" and (scene.gaussians.instance == read_scene(made / "scene").gaussians.instance).all()


def test_query_prints_things_and_writes_what_is_asked_for(result, room, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    words = ["--level", "part", "--threshold", "0.2", "--json", str(out / "a.json"), "--ply", str(out / "a.ply")]
    words += ["--heat", str(out / "heat"), "--cameras", str(room), "--views", "1", "-q"]
    assert main(["query", str(result), "floor not table", *words]) == 0
    told = json.loads((out / "a.json").read_text())
    assert told["text"] == "floor not table" and told["threshold"] == 0.2
    assert len(read_ply(out / "a.ply")) == told["count"] > 0
    assert f"{told['count']:,} of" in capsys.readouterr().out
    (heat,) = (out / "heat").iterdir()
    with Image.open(heat) as picture:
        assert heat.name.endswith(".heat.png") and picture.size == (48, 48)


def test_mistakes_are_sentences_and_change_nothing(made, result, room, tmp_path, capsys):
    before = {path.name: path.read_bytes() for path in result.iterdir()}
    refused(capsys, ["query", made / "scene", "table"], "Nobody has said yet")
    refused(capsys, ["query", result, " "], "asks for nothing")
    refused(capsys, ["query", result, "table", "--heat", tmp_path / "x"], "--cameras")
    refused(capsys, ["query", result, "table", "--json", tmp_path / "none" / "a.json"], "no folder")
    refused(capsys, ["label", result, "--labels", "chair,Chair"], "stands twice")
    refused(capsys, ["label", result, "--labels", ","], "empty")
    refused(capsys, ["label", result, "--labels", "very " * 30], "tokens")
    refused(capsys, ["label", result, "--teach", "seven=chair"], "'seven=chair'")
    refused(capsys, ["label", result, "--teach", "99=chair"], "no thing 99")
    refused(capsys, ["label", result, "--model", "ViT-X/none"], "ViT-X")
    out = ["-o", tmp_path / "out", "--label-source", "text"]
    refused(capsys, ["predict", room, *out, "--labels", NAMES, "--floor", "2"], "floor cannot be 2")
    refused(capsys, ["predict", room, "-o", tmp_path / "out", "--regions", "sam"], "--regions", "--label-source text")
    assert not (tmp_path / "out").exists()
    assert {path.name: path.read_bytes() for path in result.iterdir()} == before


def test_models_are_listed_and_fetched_only_with_consent(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a connection was opened"))
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tiny ") and " here " in lines[0] and any("ViT-B-16/laion2b_s34b_b88k" in line for line in lines)
    refused(capsys, ["models", "--fetch", "ViT-B-16/laion2b_s34b_b88k"], "598 MB", "--allow-download")
