# SPDX-License-Identifier: GPL-3.0-or-later
"""In a real window, then headless: what the Info log says of our operators is run again and does the same.

blender-gui.sh gui ... tests/gui/info_log.py END.png        writes info.txt and counts.json beside END.png
blender --background --python tests/gui/info_log.py -- DIR  runs DIR/info.txt in DIR/room.blend and compares
"""

import importlib.util
import json
import os
import sys
from pathlib import Path

import bpy

ROOT = Path(__file__).resolve().parents[2]


def load_addon():
    spec = importlib.util.spec_from_file_location("splatonym", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    sys.modules["splatonym"] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    package.register()
    return package


def rename_some():
    """Objects that are called nothing; afterwards, since classes come from names."""
    for number, name in enumerate(("Rug", "Blue Sofa")):
        if name in bpy.data.objects:
            bpy.data.objects[name].name = f"Cube.{number + 40:03d}"


def state():
    """What the operators made."""
    from splatonym.addon.build import find_results
    from splatonym.addon.report import last_report

    results = find_results(bpy.context.scene)
    return {
        "results": {r.name: {cls.name: cls.count for cls in r.classes} for r in results},
        "images": sorted(image.name for image in bpy.data.images if image.name.startswith("Log ")),
        "texts": sorted(text.name for text in bpy.data.texts),
        "objects": sorted(o.name for o in bpy.context.scene.objects if not o.name.startswith("Cube")),
        "engine": last_report(results[0].collection)["blender"]["engine"] if results else "",
    }


def idle():
    from splatonym.addon import jobs

    for _ in range(3000):
        if not jobs.state.running:
            assert jobs.state.error is None, jobs.state.error.sentence()
            return
        yield 0.1
    raise AssertionError("the job does not end")


def log_text(ui):
    """The Info log, copied as a person would copy it."""
    area = ui.area()
    before, area.type = area.type, "INFO"
    yield 0.5
    with bpy.context.temp_override(window=ui.window, screen=ui.window.screen, area=area, region=ui.region(area)):
        bpy.ops.info.select_all(action="SELECT")
        bpy.ops.info.report_copy()
    area.type = before
    yield 0.5
    return bpy.context.window_manager.clipboard


def steps(ui):
    folder = Path(os.environ["BGUI_OUT"]).parent
    load_addon()
    bpy.ops.wm.open_mainfile(filepath=str(folder / "room.blend"), load_ui=False)
    yield 1.0
    settings = bpy.context.scene.splatonym  # the panel's values are what is meant: none is given to the operator
    settings.resolution, settings.samples, settings.engine, settings.result_name = 48, 1, "WORKBENCH", "Log"
    settings.camera_source = "SELECTED"
    for place, camera in enumerate(o for o in bpy.context.scene.objects if o.type == "CAMERA"):
        camera.select_set(place < 2)
    with ui.override():
        bpy.ops.splatonym.predict("INVOKE_DEFAULT")
    yield from idle()
    settings.samples = 2  # the next press must take the panel's value, not the last one
    with ui.override():
        bpy.ops.splatonym.predict("INVOKE_DEFAULT")
    yield from idle()
    rename_some()
    bpy.context.scene.splatonym_output.least = 0.3
    yield from ui.open_sidebar("Splatonym", width=330)
    for name, given in (("render_view", {"picture": "CLASS"}), ("preview_names", {}), ("apply_names", {}), ("open_report", {})):
        with ui.override():
            getattr(bpy.ops.splatonym, name)("INVOKE_DEFAULT", **given)
        yield from idle()
        if name == "preview_names":
            ui.shot(str(folder / "names.png"))
    (folder / "info.txt").write_text((yield from log_text(ui)))
    (folder / "counts.json").write_text(json.dumps(state()))
    print("LOG written", flush=True)


def replay(folder):
    package = load_addon()
    try:
        bpy.ops.wm.open_mainfile(filepath=str(folder / "room.blend"), load_ui=False)
        for place, camera in enumerate(o for o in bpy.context.scene.objects if o.type == "CAMERA"):
            camera.select_set(place < 2)  # the panel says something else now: resolution 256, another name
        lines = [line for line in (folder / "info.txt").read_text().splitlines() if line.startswith("bpy.ops.splatonym.")]
        for line in lines:
            if "preview_names" in line:
                rename_some()
            print("LOG again", line, flush=True)
            assert eval(line, {"bpy": bpy}) == {"FINISHED"}, line
        wanted = json.loads((folder / "counts.json").read_text())
        assert state() == wanted, f"{state()}\n{wanted}"
        assert lines[0].count("samples=1") and lines[1].count("samples=2") and len(lines) == 6, lines
        print("LOG same", flush=True)
    finally:
        package.unregister()


if __name__ == "__main__" and "--" in sys.argv:
    replay(Path(sys.argv[sys.argv.index("--") + 1]))
