# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs under faults in a real Blender: killed servers, undo, other scenes, a closed window, the extension's end, Blender's own end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, SERVER_PYTHON, TOOL, TOOL_ROOT

HERE = Path(__file__).resolve().parent


@pytest.fixture
def enter(server_python, extension_zip, tmp_path):
    """Run blender-gui.sh with a user folder of its own and the zip beside it; the lines that are told after a word are returned."""
    if not (TOOL.exists() and (TOOL_ROOT / "stamp").exists()):
        pytest.skip(f"no real window: run {TOOL} setup {TOOL_ROOT}")
    (tmp_path / extension_zip.name).write_bytes(extension_zip.read_bytes())
    real_python = Path(os.path.realpath(SERVER_PYTHON)).parents[1]
    environment = {**os.environ, "BGUI_USER": str(tmp_path / "user"), "BGUI_BIND": f"{ROOT}:{real_python}:{tmp_path}"}

    def run(verb, word, *words):
        command = [TOOL, verb, TOOL_ROOT, *words]
        done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True, check=False, timeout=600)
        sys.stdout.write(done.stdout)
        assert done.returncode == 0, done.stdout + done.stderr
        return [line.removeprefix(f"{word} ") for line in done.stdout.splitlines() if line.startswith(f"{word} ")]

    return run


def test_jobs_in_a_window_survive_what_people_and_servers_do(enter, tmp_path):
    told = enter("gui", "FAULT", HERE / "faults_window.py", tmp_path / "end.png", "--factory-startup")
    assert [line for line in told if line.startswith(("disabled", "updated", "uninstalled"))] == [
        "disabled at Capture", "disabled at Server", "updated at Capture", "uninstalled at Server",
    ]  # fmt: skip
    assert told[-1].startswith("done: ")


def test_nothing_is_left_of_a_blender_that_quits_during_a_job(enter, tmp_path):
    told = enter("sh", "QUITS", "python3", HERE / "quits.py", tmp_path, SERVER_PYTHON)
    assert told.pop() == "done" and len(told) == 6
    for line in told:
        status = -9 if " kill " in line else 0
        assert line.endswith(f"status {status} left []"), line
