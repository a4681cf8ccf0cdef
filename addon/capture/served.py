# SPDX-License-Identifier: GPL-3.0-or-later
"""The child's side of a capture apart: opens the copy of the file and captures it as a script would (child.py, apart.py)."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np

from ...core.errors import InvalidFile, InvalidInput, SplatonymError
from .cameras import Seen, Shot
from .exchange import COPY, REQUEST, ApartShot, Painted, Request, read_request, write_done, write_failure, write_view
from .session import CaptureSession


def serve(folder: Path) -> None:
    """Wait for the request and do it; an error with a sentence goes into failure.json, any other is raised."""
    while not (folder / REQUEST).exists():
        time.sleep(0.01)
    try:
        request = read_request(folder)
        _open(folder, request)
        scene = bpy.data.scenes[request.scene]
        context = SimpleNamespace(scene=scene, view_layer=scene.view_layers[request.layer])
        shots = [Shot(_camera(shot), shot.frame, shot.name, _seen(shot)) for shot in request.shots]
        with CaptureSession(context, request.settings) as session:
            for place, shot in enumerate(shots):
                write_view(folder, place, session.render(shot))
            write_done(folder, session)
    except SplatonymError as error:
        write_failure(folder, error)


def _open(folder: Path, request: Request) -> None:
    try:
        bpy.ops.wm.open_mainfile(filepath=str(folder / COPY), load_ui=False, use_scripts=request.scripts)
    except RuntimeError as error:
        raise InvalidFile(
            f"The copy of the file cannot be opened: {str(error).strip()}", "Save the file, and try again."
        ) from error
    for image in request.images:
        _paint(folder, image)
    if request.devices is not None:
        _use_devices(request)


def _paint(folder: Path, painted: Painted) -> None:
    """Put a picture with the pixels that are in no file in the place of the one that was opened."""
    old = bpy.data.images[painted.name]
    new = bpy.data.images.new(painted.name, painted.width, painted.height, alpha=True, float_buffer=painted.is_float)
    new.colorspace_settings.name = old.colorspace_settings.name
    new.alpha_mode = old.alpha_mode
    new.pixels.foreach_set(np.fromfile(folder / painted.file, np.float32))
    new.update()
    old.user_remap(new)


def _use_devices(request: Request) -> None:
    """The GPUs that the window's Blender uses, also where its preferences are not saved."""
    addon = bpy.context.preferences.addons.get("cycles")
    if addon is None:
        return
    cycles = addon.preferences
    if cycles.compute_device_type != request.device_kind:
        try:
            cycles.compute_device_type = request.device_kind
        except TypeError:
            return  # not there in the background; Cycles then takes the processor
    cycles.refresh_devices()
    for device in cycles.devices:
        device.use = device.id in (request.devices or ())


def _camera(shot: ApartShot) -> bpy.types.Object:
    for thing in bpy.data.objects:
        if thing.name == shot.camera and (thing.library.name if thing.library else "") == shot.library:
            return thing
    raise InvalidInput(f"The camera of '{shot.name}' went away before it was rendered.", "Choose cameras again.")


def _seen(shot: ApartShot) -> Seen | None:
    return Seen(shot.camera, shot.matrix, SimpleNamespace(**shot.lens)) if shot.matrix and shot.lens else None
