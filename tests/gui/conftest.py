# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Blender: the command in SPLATONYM_BLENDER, or the one that ../shared/tools/blender-gui.sh sets up in the user's cache.

The tool also gives it a window. In CI it is set up if it is not there; elsewhere that is left to the person, and the tests are skipped.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
ROOM = ROOT / "addon" / "demo" / "room.blend"
TOOL = ROOT.parent / "shared" / "tools" / "blender-gui.sh"
TOOL_ROOT = Path(os.environ.get("SPLATONYM_BLENDER_ROOT", Path.home() / ".cache" / "splatonym" / "blender"))
SERVER_PYTHON = ROOT / ".venv-server" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
SETUP_SECONDS = 600


@pytest.fixture(scope="session")
def server_python():
    if not SERVER_PYTHON.exists():
        pytest.skip(f"no server environment at {SERVER_PYTHON}: run python3 scripts/environments.py server")
    return SERVER_PYTHON


@pytest.fixture(scope="session")
def tool():
    """The tool that has a real Blender ready."""
    if not TOOL.exists():
        pytest.skip(f"no real Blender: there is no {TOOL}")
    if not (TOOL_ROOT / "stamp").exists() and os.environ.get("CI"):
        try:
            subprocess.run([str(TOOL), "setup", str(TOOL_ROOT)], check=False, timeout=SETUP_SECONDS, capture_output=True)
        except subprocess.TimeoutExpired:
            pytest.skip(f"a real Blender could not be set up within {SETUP_SECONDS} s")
    if not (TOOL_ROOT / "stamp").exists():
        pytest.skip(f"no real Blender: run {TOOL} setup {TOOL_ROOT}")
    return TOOL


def run_tool(words, tmp_path, **variables):
    """Run the tool with a user folder of the test's own; what it printed, and how it ended."""
    bound = f"{ROOT}:{Path(os.path.realpath(SERVER_PYTHON)).parents[1]}:{tmp_path}"
    environment = {**os.environ, "BGUI_USER": str(tmp_path / "user"), "BGUI_BIND": bound, **variables}
    done = subprocess.run(
        [str(word) for word in words], env=environment, capture_output=True, text=True, check=False, timeout=900
    )
    sys.stdout.write(done.stdout)
    return done


@pytest.fixture
def window(tool, server_python, tmp_path):
    """Run a script of this folder in a real window, WIDTHxHEIGHT pixels large; returns what it printed. Pictures lie in tmp_path."""

    def run(script, size="1600x1000", **variables):
        words = [tool, "gui", TOOL_ROOT, HERE / script, tmp_path / "end.png", "--factory-startup"]
        done = run_tool(words, tmp_path, BGUI_SIZE=size, BGUI_TIMEOUT="800", **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def blender(tmp_path, request):
    """Run Blender in the background with arguments, with a user folder of its own; returns what it printed."""
    own = os.environ.get("SPLATONYM_BLENDER")
    command = [*shlex.split(own), "--background"] if own else [str(request.getfixturevalue("tool")), "run", str(TOOL_ROOT)]

    def run(*arguments, code=0):
        done = run_tool([*command, *arguments], tmp_path, BLENDER_USER_RESOURCES=str(tmp_path / "user"))
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


@pytest.fixture(scope="session")
def extension_zip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zip")
    subprocess.run([sys.executable, ROOT / "scripts" / "package.py", "-o", folder], check=True, capture_output=True)
    return next(folder.glob("*.zip"))
