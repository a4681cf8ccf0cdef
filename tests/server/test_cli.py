# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line from end to end on a small synthetic room, and everything that it refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from splatonym.core.ply import read_ply
from splatonym.core.scene import read_scene
from splatonym.server import pipeline
from splatonym.server.cli import main
from splatonym.tests import synthetic

SHARED = Path(__file__).resolve().parents[3] / "shared/data"
INPUTS = "0,2,3,5"
SCRIPT = Path(sys.executable).with_name("splatonym")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.write_capture(tmp_path_factory.mktemp("room"))


@pytest.fixture(scope="module")
def result(room: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results") / "deep" / "room"
    assert main(["predict", str(room), "-o", str(out), "--views", INPUTS, "--name", "Test room"]) == 0
    return out


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_predict_writes_its_three_files(result: Path, room: Path) -> None:
    assert sorted(path.name for path in result.iterdir()) == ["labels.json", "report.json", "scene.ply"]
    scene = read_scene(result)
    assert scene.name == "Test room" and scene.labels.names[:5] == synthetic.CLASSES
    gaussians = scene.gaussians
    assert gaussians.label is not None and gaussians.instance is not None and gaussians.confidence is not None
    inside = ((gaussians.means > synthetic.ROOM[0] - 0.05) & (gaussians.means < synthetic.ROOM[1] + 0.05)).all()
    assert 1000 < len(gaussians) <= 4 * 48 * 48 and inside
    report = json.loads((result / "report.json").read_text())
    assert report["input"] == {"capture": str(room.resolve()), "frames": [f"rgb_{k}.png" for k in (0, 2, 3, 5)]}
    assert report["settings"]["predictor"] == "depth-pass" and report["settings"]["label_source"] == "scene"
    assert report["gaussians"] == len(gaussians) and report["counts"] == scene.counts()
    assert {"read", "write"} < set(report["timings"]) and all(value >= 0 for value in report["timings"].values())
    assert report["backend"] and report["device"] and {"python", "splatonym", "torch", "numpy"} <= set(report["versions"])


def test_predict_says_what_it_made(room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(room.parent), "-o", str(tmp_path / "r"), "--views", "rgb_0,rgb_1"]) == 0
    out, err = capsys.readouterr()
    assert "Gaussians" in out and "floor" in out and "table" in out
    assert "read ...\n" in err and "write ...\n" in err and "\r" not in err
    assert main(["predict", str(room), "-o", str(tmp_path / "r"), "--views", "0", "-q"]) == 0
    assert capsys.readouterr().err == ""
    assert read_scene(tmp_path / "r").name == "r"


def test_progress_on_a_terminal_is_one_line(
    room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert main(["predict", str(room), "-o", str(tmp_path), "--views", "0"]) == 0
    err = capsys.readouterr().err
    assert "\n" not in err and "\r\x1b[Kread    0%" in err and err.endswith("\r\x1b[K")


def test_strict_has_3dgs_properties_only(room: Path, tmp_path: Path) -> None:
    assert main(["predict", str(room), "-o", str(tmp_path), "--views", "0", "--strict", "-q"]) == 0
    gaussians = read_ply(tmp_path / "scene.ply")
    assert gaussians.label is None and b" label" not in (tmp_path / "scene.ply").read_bytes()[:2000]


def test_render_writes_five_pictures_a_frame(result: Path, room: Path, tmp_path: Path) -> None:
    content = json.loads(room.read_text())
    for frame in content["frames"]:  # cameras alone, in another place and of another name
        frame["file_path"] = "views/" + frame["file_path"].replace(".png", ".jpg")
        del frame["depth_file_path"], frame["instance_path"]
    cameras = tmp_path / "cameras.json"
    cameras.write_text(json.dumps(content))
    pictures = tmp_path / "pictures"
    assert main(["render", str(result), str(cameras), "-o", str(pictures), "--views", "1,4"]) == 0
    kinds = ("alpha", "class", "depth", "instance", "rgb")
    assert sorted(path.name for path in pictures.iterdir()) == [f"rgb_{k}.{kind}.png" for k in (1, 4) for kind in kinds]
    true = synthetic.views()[4]
    assert true.depth is not None and true.index is not None
    read = {kind: np.asarray(Image.open(pictures / f"rgb_4.{kind}.png")) for kind in kinds}
    assert {kind: (array.dtype.name, array.shape) for kind, array in read.items()} == {
        "alpha": ("uint8", (48, 48)),
        "class": ("uint8", (48, 48)),
        "depth": ("uint16", (48, 48)),
        "instance": ("uint16", (48, 48)),
        "rgb": ("uint8", (48, 48, 3)),
    }
    sure = read["alpha"] > 200
    assert sure.mean() > 0.85
    close = np.abs(read["depth"] / 1000 - true.depth) < 0.1 * true.depth
    assert (close & sure).sum() > 0.9 * sure.sum()
    assert (read["instance"] == true.index)[sure].mean() > 0.9
    classes = np.array([-1, *(synthetic.CLASSES.index(synthetic.INSTANCES[k].class_name) for k in range(1, 9))])
    assert (read["class"] == classes[true.index])[sure].mean() > 0.93
    assert set(np.unique(read["class"])) <= {*range(6), 255}


def test_eval_meets_the_thresholds(result: Path, room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(result), str(room), "--json", str(tmp_path / "scores.json")]) == 0
    out = capsys.readouterr().out
    assert "rgb_0.png *" in out and "rgb_1.png  " in out and "mean of 2 held-out" in out and "mean of 4 input" in out
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert [frame["input"] for frame in scores["frames"]] == [True, False, True, True, False, True]
    held_out, inputs = scores["means"]["held-out"], scores["means"]["input"]
    assert inputs["seen"]["share"] > 0.99 and 0.8 < held_out["seen"]["share"] < 1
    assert held_out["seen"]["psnr"] > 26 and inputs["seen"]["psnr"] > 26
    assert held_out["seen"]["mean_iou"] > 0.8 and held_out["seen"]["accuracy"] > 0.95
    assert held_out["seen"]["depth_abs_rel"] < 0.05
    assert set(held_out["class_iou"]) == set(synthetic.CLASSES)


def test_eval_of_some_frames(result: Path, room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(result), str(room), "--frames", "held-out", "-q"]) == 0
    out = capsys.readouterr().out
    assert (
        "rgb_1.png" in out and "rgb_0.png" not in out and "mean of 2 held-out" in out and "input\n" not in out.splitlines()[-1]
    )
    assert main(["eval", str(result), str(room), "--frames", "rgb_0,1", "-q"]) == 0
    assert "mean of 1 held-out" in capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], argv: list[Any], *words: str) -> None:
    """The command fails with code 1 and one error line with these words."""
    capsys.readouterr()
    assert main([str(word) for word in argv]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("splatonym: error: ")]
    assert len(lines) == 1
    for word in words:
        assert word in err, err


def test_a_capture_that_has_moved(result: Path, room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved, copy = tmp_path / "moved", tmp_path / "result"
    shutil.copytree(room.parent, moved)
    shutil.copytree(result, copy)
    report = json.loads((copy / "report.json").read_text())
    report["input"]["capture"] = str(tmp_path / "gone" / "transforms.json")
    (copy / "report.json").write_text(json.dumps(report))
    refused(capsys, ["eval", copy, moved], str(tmp_path / "gone"), "--inputs")
    assert main(["eval", str(copy), str(moved), "--inputs", str(moved), "--frames", "1", "-q"]) == 0
    assert "mean of 1 held-out" in capsys.readouterr().out
    (copy / "report.json").write_text("{}")
    refused(capsys, ["eval", copy, moved], "report.json", "does not say")


def test_eval_without_anything_held_out(result: Path, room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(room.read_text())
    content["frames"] = content["frames"][2:4]
    only = room.parent / "only.json"
    only.write_text(json.dumps(content))
    refused(capsys, ["eval", result, only, "--frames", "held-out"], "were inputs")
    refused(capsys, ["eval", result, room, "--json", tmp_path / "no" / "x.json"], "no folder")
    only.unlink()


def test_what_is_not_there_is_refused_by_name(room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    start = ["predict", room, "-o", out, "--views", "0"]
    refused(capsys, [*start, "--model", "tiny"], "--model", "--label-source text")
    refused(capsys, [*start, "--predictor", "magic"], "magic", "depth-pass")
    refused(capsys, [*start, "--labels", "outdoor"], "outdoor", "indoor")
    refused(capsys, [*start, "--labels", tmp_path / "none.json"], "none.json")
    refused(capsys, [*start, "--option", "novalue"], "novalue")
    refused(capsys, [*start, "--option", "no_such_option=1"], "no_such_option")
    refused(capsys, ["predict", room, "-o", out, "--views", "0,77"], "77", "6 frames")
    assert not out.exists()


def spoil(room: Path, folder: Path, name: str, content: bytes | None) -> Path:
    shutil.copytree(room.parent, folder)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    return folder


def test_a_failed_prediction_leaves_everything_as_it_was(
    result: Path, room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(result, out)
    before = files(out)
    cases = {
        "gone": ("rgb_2.png", None, ["rgb_2.png", "does not exist"]),
        "size": ("rgb_2.png", (SMALL := tmp_path / "small.png"), ["10x10 pixels", "48x48"]),
        "json": ("transforms.json", b"{", ["transforms.json", "not valid JSON"]),
        "labels": ("labels.json", b"[]", ["labels.json"]),
    }
    Image.new("RGB", (10, 10)).save(SMALL)
    for case, (name, content, words) in cases.items():
        broken = spoil(room, tmp_path / case, name, content.read_bytes() if isinstance(content, Path) else content)
        refused(capsys, ["predict", broken, "-o", out], *words)
        refused(capsys, ["predict", broken, "-o", tmp_path / "new" / "deeper"], *words)
        assert files(out) == before and not (tmp_path / "new").exists()


def test_folders_that_cannot_be_written(room: Path, result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        refused(capsys, ["predict", room, "-o", out], str(out), "-o")
        refused(capsys, ["render", result, room, "-o", out], str(out), "-o")
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "out" / "scene.ply").mkdir(parents=True)
    refused(capsys, ["predict", room, "-o", tmp_path / "out", "--views", "0"], "scene.ply", "is a folder")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["scene.ply"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into read-only folders")
def test_a_read_only_folder(room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o555)
    for out in (tmp_path, tmp_path / "new"):
        refused(capsys, ["predict", room, "-o", out], "cannot be written")
    tmp_path.chmod(0o755)
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_file_system(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("there is no /proc here")
    refused(capsys, ["predict", room, "-o", "/proc/splatonym"], "/proc/splatonym", "cannot be written")


def test_frames_that_would_overwrite_each_other(
    result: Path, room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(room.read_text())
    content["frames"][3]["file_path"] = "b/rgb_0.jpg"
    (tmp_path / "clash.json").write_text(json.dumps(content))
    refused(capsys, ["render", result, tmp_path / "clash.json", "-o", tmp_path / "p"], "'rgb_0.png' and 'b/rgb_0.jpg'")
    assert not (tmp_path / "p").exists()


def test_results_that_are_none(room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, ["render", tmp_path, room, "-o", tmp_path / "p"], "scene.ply")
    refused(capsys, ["eval", tmp_path / "no", room], "scene.ply")


def test_a_capture_without_labels_is_noted(room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = spoil(room, tmp_path / "plain", "labels.json", None)
    assert main(["predict", str(plain), "-o", str(tmp_path / "out"), "--views", "0,1"]) == 0
    assert "note: " in (err := capsys.readouterr().err) and "unlabelled" in err
    scene = read_scene(tmp_path / "out")
    assert scene.gaussians.label is not None and (scene.gaussians.label == scene.labels.unlabelled).all()


def test_interrupted_work_leaves_nothing(
    room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "predict", interrupted)
    assert main(["predict", str(room), "-o", str(tmp_path / "a" / "b")]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_ctrl_c_in_the_real_program(room: Path, tmp_path: Path) -> None:
    big = synthetic.write_capture(tmp_path / "big", synthetic.views(6, (240, 240)))
    out = tmp_path / "out"
    words = [str(SCRIPT), "predict", str(big), "-o", str(out)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr is not None
        assert program.stderr.readline() == "read ...\n"
        assert program.stderr.readline()  # the stage after it has begun
        assert any(out.iterdir())
        start = time.monotonic()
        program.send_signal(signal.SIGINT)
        rest = program.stderr.read()
        assert program.wait(timeout=20) == 130
        assert time.monotonic() - start < 5
    assert "interrupted" in rest and "Traceback" not in rest
    assert not out.exists()


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, timeout=120)


def test_the_console_script(tmp_path: Path) -> None:
    version = run(SCRIPT, "--version")
    assert (version.returncode, version.stdout.split()[0]) == (0, "splatonym")
    text = run(sys.executable, "-m", "splatonym.server.cli", "-h").stdout
    assert all(word in text for word in ("predict", "render", "eval", "doctor", "examples:"))
    for words in ([], ["dance"], ["predict"], ["predict", "x"], ["predict", "x", "-o", "y", "--label-source", "dream"]):
        usage = run(SCRIPT, *words)
        assert usage.returncode == 2 and usage.stdout == "" and usage.stderr.startswith("usage: splatonym")
    failed = run(SCRIPT, "predict", tmp_path / "none.json", "-o", tmp_path / "out")
    assert failed.returncode == 1 and failed.stderr.startswith("splatonym: error: ")
    assert len(failed.stderr.splitlines()) == 2
    assert "Traceback" in run(SCRIPT, "predict", "--debug", tmp_path / "none.json", "-o", tmp_path / "out").stderr


@pytest.mark.parametrize("command", ["predict", "render", "eval", "doctor"])
def test_each_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"splatonym {command}" in capsys.readouterr().out


@pytest.mark.skipif(not (SHARED / "rooms/rooms_val.tar").exists(), reason="../shared/data is not here")
def test_a_validation_room(tmp_path: Path) -> None:
    """One room and a floor under its figures; the goal is a mean over all rooms, which the benchmark measures."""
    import tarfile

    with tarfile.open(SHARED / "rooms/rooms_val.tar") as tar:
        tar.extractall(tmp_path, [m for m in tar.getmembers() if m.name.startswith("room_00000/")], filter="data")
    room, out = tmp_path / "room_00000", tmp_path / "out"
    assert main(["predict", str(room), "-o", str(out), "--views", "2,5", "-q"]) == 0
    assert main(["eval", str(out), str(room), "--frames", "3,4", "--json", str(tmp_path / "s.json"), "-q"]) == 0
    seen = json.loads((tmp_path / "s.json").read_text())["means"]["held-out"]["seen"]
    assert seen["psnr"] > 26 and seen["mean_iou"] > 0.78
