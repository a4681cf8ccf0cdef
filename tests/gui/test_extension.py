# SPDX-License-Identifier: GPL-3.0-or-later
"""The zip in a real Blender; skipped with a reason where there is none."""

import zipfile
from pathlib import Path

from splatonym.core.ply import read_ply

HERE = Path(__file__).resolve().parent
ROOM = HERE.parents[1] / "addon" / "demo" / "room.blend"


def test_the_zip_holds_the_extension_and_nothing_else(extension_zip):
    names = zipfile.ZipFile(extension_zip).namelist()
    assert {"blender_manifest.toml", "__init__.py", "addon/build/__init__.py", "server/__main__.py", "LICENSE"} <= set(names)
    assert not [n for n in names if n.startswith(("tests/", "scripts/", ".", "docs/")) or n.endswith((".pyc", ".whl"))]


def test_blender_finds_the_zip_valid(blender, extension_zip):
    assert "Success" in blender("--command", "extension", "validate", extension_zip)


def test_the_extension_installs_predicts_and_goes_again(blender, extension_zip, server_python, tmp_path):
    script = HERE / "extension_life.py"
    words = [
        "--factory-startup",
        "--python-exit-code",
        "9",
        "--python",
        script,
        "--",
        extension_zip,
        server_python,
        ROOM,
        tmp_path,
    ]
    assert "LIFE done" in blender(*words)
    assert len(read_ply(tmp_path / "room.ply")) > 1000
