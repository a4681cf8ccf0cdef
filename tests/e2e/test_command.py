# SPDX-License-Identifier: GPL-3.0-or-later
"""The Blender command, as Blender calls it: words in, an exit code out, with a real server behind it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import bpy
import pytest
from splatonym.core.ply import read_ply

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--resolution", "32", "--samples", "1"]


@pytest.fixture
def command(addon):
    from splatonym.addon import command

    return command.main


@pytest.fixture
def room_file(small_room, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "room.blend"))
    return tmp_path / "room.blend"


def test_label_writes_what_it_says(command, room_file, tmp_path, capsys):
    out = tmp_path / "out"
    assert (
        command(["label", str(room_file), "--cameras", "Camera 0, Camera 2", "--out", str(out), "--name", "Room", *SMALL]) == 0
    )
    assert {"scene.ply", "labels.json", "report.json", "Room.blend"} == {path.name for path in out.iterdir()}
    told = capsys.readouterr()
    assert "chair" in told.out and f"{len(read_ply(out / 'scene.ply')):,} Gaussians" in told.out
    assert "[capture] Camera 0 (1 of 2)" in told.err
    report = json.loads((out / "report.json").read_text())
    assert report["blender"]["views"] == ["Camera 0", "Camera 2"] and report["blender"]["timings"]["Capture"] > 0


def test_a_result_is_asked_and_the_answer_saved(command, room_file, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["--label-source", "text", "--labels", "floor, chair", "--model", "tiny", "--name", "Room"]
    assert command(["label", str(room_file), "--out", str(out), *words, *SMALL]) == 0
    asked = [
        "ask",
        str(out / "Room.blend"),
        "floor",
        "--threshold",
        "0",
        "--level",
        "part",
        "--json",
        str(tmp_path / "a.json"),
        "--save",
        str(tmp_path / "a.blend"),
    ]
    assert command(asked) == 0
    answer = json.loads((tmp_path / "a.json").read_text())
    assert answer["text"] == "floor" and answer["count"] > 0 and f"{answer['count']:,} points" in capsys.readouterr().out
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    from splatonym.addon.answers import last_answer
    from splatonym.addon.build import find_results

    kept = last_answer(find_results(bpy.context.scene)[0])
    assert (kept.text, kept.level, kept.count) == ("floor", "part", answer["count"])  # the file says what the answer says


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["label", "nowhere.blend", "--out", "{tmp}/out"], "There is no file 'nowhere.blend'"),
        (["label", "{room}", "--out", "{tmp}/out", "--cameras", "Nobody"], "Nobody"),
        (["label", "{room}", "--out", "{tmp}/out", "--resolution", "1"], "begins at 16"),
        (["label", "{room}", "--out", "{room}/out", *SMALL], "cannot be written"),
        (["label", "{room}", "--out", "{tmp}/out", "--server-python", "{tmp}/none", *SMALL], "none"),
        (["ask", "{room}", "chair"], "There is no result"),
        (["doctor", "--server-python", "{tmp}/none"], "cannot be run"),
    ],
)
def test_errors_are_sentences_and_exit_codes(command, room_file, tmp_path, capsys, words, said):
    filled = [word.format(tmp=tmp_path, room=room_file) for word in words]
    assert command(filled) == 1
    told = capsys.readouterr().err.strip().splitlines()
    error = next(line for line in told if line.startswith("splatonym: error: "))
    assert said in error and "Traceback" not in "".join(told)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [[], ["labl"], ["label"], ["label", "--out", "x", "--engine", "none"], ["ask", "a.blend"]])
def test_wrong_usage_is_2(command, capsys, words):
    assert command(words) == 2
    assert "usage: blender --command splatonym" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], ["label", "--help"], ["ask", "--help"], ["setup", "--help"], ["--version"]])
def test_help_is_0(command, capsys, words):
    assert command(words) == 0
    assert capsys.readouterr().out


def test_info_says_what_is_in_use(command, server_python, capsys):
    assert command(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["server"] == str(server_python) and found["blender"] == bpy.app.version_string
    assert command(["info"]) == 0
    assert str(server_python) in capsys.readouterr().out


def test_doctor_is_the_servers_own(command, capfd):
    assert command(["doctor", "--json"]) == 0
    checks = json.loads(capfd.readouterr().out)
    assert "torch" in json.dumps(checks)


def test_the_command_ends_its_server(command, room_file, tmp_path):
    from splatonym.addon import connection

    assert command(["label", str(room_file), "--out", str(tmp_path / "out"), *SMALL]) == 0
    assert connection._connection is None


def test_the_script_of_a_checkout_takes_the_same_words(room_file, server_python, tmp_path):
    script = [sys.executable, str(ROOT / "scripts" / "label_scene.py")]
    out = tmp_path / "out"
    words = ["--blend", str(room_file), "--out", str(out), "--server-python", str(server_python), *SMALL]
    done = subprocess.run([*script, *words], capture_output=True, text=True, timeout=300, env={**os.environ}, check=False)
    assert done.returncode == 0, done.stderr
    assert (out / "Splatonym.blend").exists()
    done = subprocess.run([*script, "none.blend", "--out", str(out)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1 and "There is no file 'none.blend'" in done.stderr


def test_setup_uses_a_python_that_is_there(command, server_python, tmp_path, capsys):
    assert command(["setup", "--python", str(server_python)]) == 0
    assert capsys.readouterr().out.strip()
    assert command(["setup", "--python", str(tmp_path / "none")]) == 1
    assert "There is no Python" in capsys.readouterr().err


def test_setup_asks_before_it_goes_online(command, capsys):
    if bpy.app.online_access:
        pytest.skip("this Blender may go online")
    assert command(["setup", "--build", "cpu"]) == 1
    error = capsys.readouterr().err
    assert "not allowed to go online" in error and "Traceback" not in error
