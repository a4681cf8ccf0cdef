# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Blender: the command in SPLATONYM_BLENDER, or the one that ../shared/tools/blender-gui.sh has set up in the user's cache."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT.parent / "shared" / "tools" / "blender-gui.sh"
TOOL_ROOT = Path(os.environ.get("SPLATONYM_BLENDER_ROOT", Path.home() / ".cache" / "splatonym" / "blender"))
SERVER_PYTHON = ROOT / ".venv-server" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@pytest.fixture(scope="session")
def server_python():
    if not SERVER_PYTHON.exists():
        pytest.skip(f"no server environment at {SERVER_PYTHON}: run python3 scripts/environments.py server")
    return SERVER_PYTHON


@pytest.fixture
def blender(tmp_path):
    """Run Blender in the background with arguments, with a user folder of its own; returns what it printed."""
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path / "user"), "BGUI_USER": str(tmp_path / "user")}
    if os.environ.get("SPLATONYM_BLENDER"):
        command = [*shlex.split(os.environ["SPLATONYM_BLENDER"]), "--background"]
    elif TOOL.exists() and (TOOL_ROOT / "stamp").exists():
        command = [str(TOOL), "run", str(TOOL_ROOT)]
        real_python = Path(os.path.realpath(SERVER_PYTHON)).parents[1]
        environment["BGUI_BIND"] = f"{ROOT}:{real_python}:{tmp_path}"
    else:
        pytest.skip(f"no real Blender: set SPLATONYM_BLENDER to its path, or run {TOOL} setup {TOOL_ROOT}")

    def run(*arguments, code=0):
        words = [*command, *map(str, arguments)]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=600)
        sys.stdout.write(done.stdout)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


@pytest.fixture(scope="session")
def extension_zip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zip")
    subprocess.run([sys.executable, ROOT / "scripts" / "package.py", "-o", folder], check=True, capture_output=True)
    return next(folder.glob("*.zip"))
