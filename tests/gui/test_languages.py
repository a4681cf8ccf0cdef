# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar in German and Japanese, in a Blender that has languages; skipped with a reason where there is none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, SERVER_PYTHON, TOOL, TOOL_ROOT

HERE = Path(__file__).resolve().parent


@pytest.mark.usefixtures("server_python")
def test_the_sidebar_speaks_german_and_japanese(tmp_path):
    if not (TOOL.exists() and (TOOL_ROOT / "stamp").exists()):
        pytest.skip(f"no real window: run {TOOL} setup {TOOL_ROOT}")
    real_python = Path(os.path.realpath(SERVER_PYTHON)).parents[1]
    environment = {
        **os.environ,
        "BGUI_USER": str(tmp_path / "user"),
        "BGUI_BIND": f"{ROOT}:{real_python}:{tmp_path}",
        "BGUI_SIZE": "900x2200",
    }
    words = [TOOL, "gui", TOOL_ROOT, HERE / "languages.py", tmp_path / "end.png", "--factory-startup"]
    done = subprocess.run([*map(str, words)], env=environment, capture_output=True, text=True, check=False, timeout=600)
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    if "LANGUAGES none" in done.stdout:
        pytest.skip("this Blender has no language files (Debian's are in /usr/share/locale, which the tool leaves out)")
    assert "LANGUAGES done" in done.stdout
    assert all((tmp_path / f"{name}.png").stat().st_size > 10_000 for name in ("de", "ja", "light"))
