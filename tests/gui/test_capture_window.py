# SPDX-License-Identifier: GPL-3.0-or-later
"""Predict is pressed in a real window, which stays free while the views are rendered; skipped with a reason where there is none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, SERVER_PYTHON, TOOL, TOOL_ROOT

HERE = Path(__file__).resolve().parent
ROOM = ROOT / "addon" / "demo" / "room.blend"


@pytest.mark.usefixtures("server_python")
def test_the_window_stays_free_while_views_are_rendered(tmp_path):
    if not (TOOL.exists() and (TOOL_ROOT / "stamp").exists()):
        pytest.skip(f"no real window: run {TOOL} setup {TOOL_ROOT}")
    shutil.copy(ROOM, tmp_path / "room.blend")
    real_python = Path(os.path.realpath(SERVER_PYTHON)).parents[1]
    environment = {**os.environ, "BGUI_USER": str(tmp_path / "user"), "BGUI_BIND": f"{ROOT}:{real_python}:{tmp_path}"}
    words = [TOOL, "gui", TOOL_ROOT, HERE / "capture_window.py", tmp_path / "end.png", "--factory-startup"]
    done = subprocess.run([*map(str, words)], env=environment, capture_output=True, text=True, check=False, timeout=600)
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    told = [line.removeprefix("CAPTURE ") for line in done.stdout.splitlines() if line.startswith("CAPTURE ")]
    assert "saved meanwhile: the job goes on" in told and told[-1] == "loaded meanwhile"
