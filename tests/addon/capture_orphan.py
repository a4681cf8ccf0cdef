# SPDX-License-Identifier: GPL-3.0-or-later
"""A Blender that is killed while another renders views for it (test_capture_apart.py); says "CHILD", the other's process id."""

import importlib.util
import sys
import time
from pathlib import Path

import bpy

ROOT = Path(__file__).resolve().parents[2]


def main():
    spec = importlib.util.spec_from_file_location("splatonym", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    sys.modules["splatonym"] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    from splatonym.addon.capture import CaptureSettings, Shot
    from splatonym.addon.capture.apart import Apart

    bpy.ops.wm.read_factory_settings()
    shots = [Shot(bpy.data.objects["Camera"], 1, f"{place}") for place in range(500)]
    child = Apart(bpy.context, shots, CaptureSettings(width=64, height=64, samples=64, engine="CYCLES", denoise=False))
    child.send()
    while not child.has_view(1):
        time.sleep(0.02)
    print("CHILD", child.pid, flush=True)
    time.sleep(60)


main()
