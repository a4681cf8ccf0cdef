# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by blender-gui.sh sh: Blender is started with the extension, ends while a job runs, and everything of it has to be gone.

python3 quits.py FOLDER SERVER_PYTHON, where FOLDER has the zip; what happened is printed after "QUITS".
"""

import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER, SERVER_PYTHON = Path(sys.argv[1]), sys.argv[2]
MODULE = "bl_ext.user_default.splatonym"
DISPLAY = ":78"
PREPARE = f"""
import sys
import bpy
sys.path.insert(0, {str(HERE.parent)!r})
from small_room import make_small_room
archive = {str(next(FOLDER.glob("*.zip")))!r}
bpy.ops.extensions.package_install_files(repo="user_default", filepath=archive, enable_on_install=True)
bpy.context.preferences.addons[{MODULE!r}].preferences.server_python = {SERVER_PYTHON!r}
bpy.context.preferences.view.show_splash = False
bpy.ops.wm.save_userpref()
bpy.ops.wm.read_homefile(use_empty=True)
make_small_room()
bpy.ops.splatonym.predict(camera_source="ALL", resolution=32, samples=1, result_name="Room")
bpy.ops.wm.save_as_mainfile(filepath={str(FOLDER / "room.blend")!r})
"""


def left():
    """What a Blender that has ended left behind: processes, temporary folders, a crash file."""
    found = [path.name for pattern in ("splatonym-*", "*.crash.txt") for path in Path("/tmp").glob(pattern)]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if b"child.py" in words or b"server/__main__.py" in words:
            found.append(words.replace(b"\0", b" ").decode())
    return found


def run(stage, how, *more):
    words = ["blender", *more, FOLDER / "room.blend", "--python", HERE / "quit_blender.py", "--", stage, how]
    done = subprocess.run(
        [*map(str, words)], capture_output=True, text=True, timeout=120, env={**os.environ, "DISPLAY": DISPLAY}
    )
    assert f"QUIT at {stage}" in done.stdout, done.stdout + done.stderr
    end = time.monotonic() + 15
    while left() and time.monotonic() < end:
        time.sleep(0.05)
    where = "background" if more else "window"
    print("QUITS", where, stage, how, "status", done.returncode, "left", left(), flush=True)
    assert "Traceback" not in done.stderr and "Error" not in done.stderr, done.stderr


subprocess.run(
    ["blender", "--background", "--python-exit-code", "9", "--python-expr", PREPARE], check=True, capture_output=True
)
before = (FOLDER / "room.blend").read_bytes()
screen = subprocess.Popen(
    ["Xvfb", DISPLAY, "-screen", "0", "1280x800x24", "+extension", "GLX"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
)
try:
    time.sleep(1)
    for stage in ("Capture", "Server", "Live"):
        run(stage, "quit")
    run("Capture", "kill")
    run("Capture", "quit", "--background")
    run("Server", "quit", "--background")
finally:
    screen.kill()
assert (FOLDER / "room.blend").read_bytes() == before
print("QUITS done", flush=True)
