# SPDX-License-Identifier: GPL-3.0-or-later
"""Run inside a real Blender: the extension is installed, enabled, predicts, is disabled and uninstalled.

blender --background --factory-startup --python-exit-code 9 --python tests/gui/extension_life.py -- ZIP SERVER_PYTHON ROOM.blend OUT
"""

import sys
from pathlib import Path

import addon_utils
import bpy

MODULE = "bl_ext.user_default.splatonym"
archive, interpreter, room, out = sys.argv[sys.argv.index("--") + 1 :]

bpy.ops.extensions.package_install_files(repo="user_default", filepath=archive, enable_on_install=True)
assert addon_utils.check(MODULE) == (True, True), "installed, but not enabled"
print("LIFE installed and enabled", flush=True)

bpy.ops.wm.open_mainfile(filepath=room, load_ui=False)
preferences = bpy.context.preferences.addons[MODULE].preferences
try:
    bpy.ops.splatonym.predict(camera_source="ALL", resolution=48, samples=1)
except RuntimeError as error:
    assert "No Python is set" in str(error), error
else:
    raise AssertionError("predicted without a server")
preferences.server_python = interpreter
for camera in [o for o in bpy.data.objects if o.type == "CAMERA"][3:]:
    bpy.data.objects.remove(camera)
before = {(o.name, o.hide_render) for o in bpy.data.objects}
assert bpy.ops.splatonym.predict(camera_source="ALL", resolution=48, samples=1, result_name="Room") == {"FINISHED"}
made = {o.name for o in bpy.data.objects} - {name for name, _ in before}
assert len(made) > 8, made
print("LIFE predicted", sorted(made), flush=True)
bpy.ops.splatonym.export_ply(filepath=str(Path(out) / "room.ply"))
assert bpy.ops.splatonym.render_view(picture="CLASS") == {"FINISHED"}
words = {
    "camera_source": "ALL",
    "resolution": 48,
    "samples": 1,
    "label_source": "text",
    "names": "floor, chair",
    "model": "tiny",
}
assert bpy.ops.splatonym.predict(result_name="Room", **words) == {"FINISHED"}
assert bpy.ops.splatonym.query(text="floor") == {"FINISHED"} and bpy.ops.splatonym.relabel(names="sofa") == {"FINISHED"}
print("LIFE named and asked", flush=True)
bpy.ops.wm.save_as_mainfile(filepath=str(Path(out) / "room.blend"))
bpy.ops.splatonym.remove_result(result="Room")
assert {(o.name, o.hide_render) for o in bpy.data.objects} == before

bpy.ops.preferences.addon_disable(module=MODULE)
assert not hasattr(bpy.types.Scene, "splatonym"), "a property stayed behind"
assert not any(name.startswith("splatonym") for name in dir(bpy.types) if "SPLATONYM" in name)
assert "torch" not in sys.modules
bpy.ops.extensions.package_uninstall(repo_index=[r.module for r in bpy.context.preferences.extensions.repos].index("user_default"),
                                     pkg_id="splatonym")  # fmt: skip
assert MODULE not in {module.__name__ for module in addon_utils.modules(refresh=True)}
print("LIFE done", flush=True)
