# SPDX-License-Identifier: GPL-3.0-or-later
"""The live view in a real window, held against rays through Blender's own views; skipped with a reason where there is no window."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, SERVER_PYTHON, TOOL, TOOL_ROOT

HERE = Path(__file__).resolve().parent


@pytest.mark.usefixtures("server_python")
def test_the_splat_lies_on_its_meshes_in_every_kind_of_view(tmp_path):
    if not (TOOL.exists() and (TOOL_ROOT / "stamp").exists()):
        pytest.skip(f"no real window: run {TOOL} setup {TOOL_ROOT}")
    real_python = Path(os.path.realpath(SERVER_PYTHON)).parents[1]
    environment = {
        **os.environ,
        "BGUI_USER": str(tmp_path / "user"),
        "BGUI_BIND": f"{ROOT}:{real_python}:{tmp_path}",
        "BGUI_SIZE": "1100x700",
    }
    words = [TOOL, "gui", TOOL_ROOT, HERE / "live_view.py", tmp_path / "end.png", "--factory-startup"]
    done = subprocess.run([*map(str, words)], env=environment, capture_output=True, text=True, check=False, timeout=600)
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "LIVE done" in done.stdout
