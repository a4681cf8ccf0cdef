# SPDX-License-Identifier: GPL-3.0-or-later
"""Python ends well after the add-on was there: a reference that is kept crashes Blender 4.2 or hangs 4.5, after all tests have passed."""

import subprocess
import sys

import pytest

REGISTER = "import bpy, splatonym\nsplatonym.register()\nsplatonym.unregister()\n"
CASES = {
    "once": REGISTER,
    "twice, with another file between": f"{REGISTER}bpy.ops.wm.read_factory_settings(use_empty=True)\n{REGISTER}",
    "after an error": f"{REGISTER}raise SystemExit(0)",
    "with settings changed": "import bpy, splatonym\nsplatonym.register()\nbpy.context.scene.splatonym_question.threshold = 0.25\n"
    "bpy.context.scene.splatonym.resolution = 64\nsplatonym.unregister()\n",
}


@pytest.mark.parametrize("script", CASES.values(), ids=CASES)
def test_python_ends_without_a_crash(script):
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
