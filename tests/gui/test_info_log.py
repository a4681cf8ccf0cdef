# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of the Info log, copied from a real window, do the same when they are run again; skipped where there is no window."""

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
def test_the_info_log_replays(tmp_path):
    if not (TOOL.exists() and (TOOL_ROOT / "stamp").exists()):
        pytest.skip(f"no real window: run {TOOL} setup {TOOL_ROOT}")
    shutil.copy(ROOM, tmp_path / "room.blend")
    real_python = Path(os.path.realpath(SERVER_PYTHON)).parents[1]
    environment = {**os.environ, "BGUI_USER": str(tmp_path / "user"), "BGUI_BIND": f"{ROOT}:{real_python}:{tmp_path}"}
    environment["SPLATONYM_SERVER_PYTHON"] = str(SERVER_PYTHON)

    def run(*words):
        done = subprocess.run(
            [str(TOOL), *map(str, words)], env=environment, capture_output=True, text=True, check=False, timeout=600
        )
        sys.stdout.write(done.stdout)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    script = HERE / "info_log.py"
    assert "LOG written" in run("gui", TOOL_ROOT, script, tmp_path / "end.png", "--factory-startup")
    words = ["run", TOOL_ROOT, "--factory-startup", "--python-exit-code", "9", "--python", script, "--", tmp_path]
    assert "LOG same" in run(*words)
