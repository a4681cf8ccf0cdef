# SPDX-License-Identifier: GPL-3.0-or-later
"""`blender --command splatonym` in a real Blender with the zip installed; skipped with a reason where there is none."""

import json
import shutil
from pathlib import Path

from splatonym.core.ply import read_ply

ROOM = Path(__file__).resolve().parents[2] / "addon" / "demo" / "room.blend"


def test_the_installed_extension_labels_by_command(blender, extension_zip, server_python, tmp_path):
    shutil.copy(ROOM, tmp_path / "room.blend")
    room, out = tmp_path / "room.blend", tmp_path / "out"
    blender("--command", "extension", "install-file", "-r", "user_default", "-e", extension_zip)
    assert "usage: blender --command splatonym" in blender("--command", "splatonym", "--help")
    facts = blender("--command", "splatonym", "info", "--json")
    found = json.loads(facts[facts.index("{") : facts.rindex("}") + 1])
    assert found["package"] == "bl_ext.user_default.splatonym" and found["server"] is None

    small = ["--cameras", "View.000,View.001", "--resolution", "48", "--samples", "1"]
    words = ["--command", "splatonym", "label", room, "--out", out, *small]
    assert "splatonym: error: No Python is set for the server" in blender(*words, code=1)
    told = blender(*words, "--server-python", server_python)
    assert len(read_ply(out / "scene.ply")) > 1000 and "sofa" in told
    assert (out / "Splatonym.blend").exists() and json.loads((out / "report.json").read_text())["blender"]["views"]

    assert "invalid choice: 'labl'" in blender("--command", "splatonym", "labl", code=2)
    assert "There is no file" in blender("--command", "splatonym", "label", tmp_path / "none.blend", "--out", out, code=1)
    blender("--command", "splatonym", "setup", "--python", server_python)  # kept: a window will want it, too
    again = blender("--command", "splatonym", "info")
    assert str(server_python) in again
