# SPDX-License-Identifier: GPL-3.0-or-later
"""Capture while the window stays free: a second Blender renders a copy of the file.

Why not a render in this Blender: a render from a script holds the window. A render as a job of Blender's (what F12 does) does not, but every
one of them stops the other jobs and the animation that plays, evaluates the scene while the person edits it, puts back what they have not
keyed when it ends, shows up as their Render Result, and cannot be cancelled by a script. A process of its own has none of this: it works
on the file as it was when the capture began, whatever happens to it meanwhile; a cancel ends it at once.

What the copy cannot hold (`why_not_apart`) is still rendered here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import numpy.typing as npt

from ...core.errors import NotAvailable, SplatonymError
from ...core.views import View
from .cameras import Seen, Shot
from .exchange import (
    COPY,
    DONE,
    LOG,
    ApartShot,
    Painted,
    Request,
    log_end,
    read_done,
    read_failure,
    read_view,
    view_path,
    write_request,
)
from .render import changed
from .session import Captured, CaptureSettings

_CHILD = Path(__file__).with_name("child.py")
_SIMULATED = ("GeometryNodeSimulationOutput", "GeometryNodeBake")
_CACHED = {"CLOTH": "point_cache", "SOFT_BODY": "point_cache"}
_MAKE_ROOM = "Make room on the disk, or set TMPDIR."


class RendererDied(SplatonymError):  # noqa: N818 - the name says what happened; the base says Error
    """The Blender that renders the views ended before it had rendered them."""

    kind = "renderer-died"


class Apart:
    """The second Blender, from its start to its end; leaving the context ends it and removes what it wrote."""

    def __init__(self, context: bpy.types.Context, shots: Sequence[Shot], settings: CaptureSettings) -> None:
        self._request, self._painted = _request(context, shots, settings), list[Painted]()
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="splatonym-"))
        except OSError as error:
            raise NotAvailable(f"No temporary folder can be made: {error.strerror or error}.", _MAKE_ROOM) from error
        try:
            self._process = _start(self.folder)
        except OSError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise RendererDied(
                f"A second Blender, to render the views, cannot be started: {error.strerror or error}.",
                f"Check that '{bpy.app.binary_path or sys.executable}' is there.",
            ) from error

    def __enter__(self) -> Apart:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def take_picture(self, name: str) -> Callable[[], object]:
        """Read the pixels of one of `unsaved_pictures`; what is returned writes them for the child, and may be called in a thread."""
        image = bpy.data.images.get(name)
        if image is None:
            return lambda: None  # it went away meanwhile
        width, height = image.size
        pixels = np.empty(width * height * image.channels, np.float32)
        image.pixels.foreach_get(pixels)
        painted = Painted(name, f"image_{len(self._painted)}.f32", width, height, image.is_float)
        self._painted.append(painted)
        return partial(_write_pixels, self.folder / painted.file, pixels, image.channels)

    def send(self) -> None:
        """Write the copy of the file that is rendered, and say what to render; the process starts up meanwhile."""
        try:
            save_copy(self.folder / COPY)
            write_request(self.folder, replace(self._request, images=tuple(self._painted)))
        except OSError as error:
            raise NotAvailable(f"The scene cannot be copied: {error.strerror or error}.", _MAKE_ROOM) from error

    def has_view(self, place: int) -> bool:
        """Whether a view is there; raises what went wrong if it will not come."""
        return self._has(view_path(self.folder, place))

    def has_ended(self) -> bool:
        """Whether all is there."""
        return self._has(self.folder / DONE)

    def view(self, place: int) -> View:
        return read_view(self.folder, place)

    def captured(self, views: list[View]) -> Captured:
        return read_done(self.folder, views)

    def _has(self, path: Path) -> bool:
        status = self._process.poll()  # before looking: what it wrote before its end is there then
        if path.exists():
            return True
        if status is None:
            return False
        said = read_failure(self.folder)
        if said is not None:
            raise said
        last = log_end(self.folder)
        raise RendererDied(
            f"The Blender that renders the views ended early (status {status}).",
            f"It may have run out of memory: try a lower resolution.{f' It said last: {last}' if last else ''}",
        )

    def close(self) -> None:
        """End the process now; its folder goes as soon as it has ended, without anybody waiting."""
        self._process.kill()
        # Not a daemon: Blender that quits waits for it, or else the folder would stay.
        threading.Thread(target=_clear, args=(self._process, self.folder), name="splatonym clears").start()


def why_not_apart(scene: bpy.types.Scene) -> str:
    """What of the file only this Blender knows, or "": such scenes are rendered here, and the window waits."""
    for image in bpy.data.images:
        if image.is_dirty and image.source == "TILED":
            return f"'{image.name}' has tiles that are not saved"
    if any(node.bl_idname in _SIMULATED for tree in bpy.data.node_groups for node in tree.nodes):
        return "a simulation in geometry nodes"
    trusting = bpy.context.preferences.filepaths.use_scripts_auto_execute
    if _scripts_allowed() and not trusting and (text := next((t for t in bpy.data.texts if t.use_module), None)):
        return f"'{text.name}' would run in it"  # nobody knows whether it ran here: it may have been appended since
    for thing in scene.objects:
        caches = [getattr(m, _CACHED[m.type]) for m in thing.modifiers if m.type in _CACHED]
        caches += [system.point_cache for system in thing.particle_systems]
        if any(cache.use_disk_cache for cache in caches):
            return f"'{thing.name}' has a simulation on disk"
    return ""


def unsaved_pictures() -> list[str]:
    """The names of pictures that were painted and not saved: a .blend does not hold their pixels."""
    return [
        image.name
        for image in bpy.data.images
        if image.is_dirty and image.source in ("FILE", "GENERATED") and image.library is None and image.channels
    ]


def save_copy(path: Path) -> None:
    """Write the open file elsewhere, as Blender's own auto-save does: no handlers of add-ons, no preview, nothing packed or marked as saved."""
    handlers = bpy.app.handlers
    silent = _emptied(handlers.save_pre, handlers.save_post, handlers.save_post_fail)
    with silent, _no_preview(bpy.context.preferences.filepaths), changed(bpy.data, use_autopack=False):
        try:
            bpy.ops.wm.save_as_mainfile(
                "EXEC_DEFAULT", filepath=str(path), copy=True, compress=False, relative_remap=True, check_existing=False
            )
        except RuntimeError as error:
            raise NotAvailable(f"The scene cannot be copied: {str(error).strip()}", _MAKE_ROOM) from error


def _start(folder: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "TEMP": str(folder), "TMP": str(folder), "TMPDIR": str(folder)}  # it cleans nothing up itself
    if bpy.app.binary_path:
        words = [bpy.app.binary_path, "--background", "-noaudio", "--offline-mode", "--python-exit-code", "1", "--python"]
    else:  # Blender as a Python module
        words = [sys.executable]
    more: dict[str, Any] = {}
    if sys.platform == "win32":
        more["creationflags"] = subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS
    with (folder / LOG).open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - Blender's own program, without a shell
            [*words, str(_CHILD), "--", str(folder)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            **more,
        )


def _clear(process: subprocess.Popen[bytes], folder: Path) -> None:
    process.wait()
    if process.stdin is not None:
        process.stdin.close()
    shutil.rmtree(folder, ignore_errors=True)


def _request(context: bpy.types.Context, shots: Iterable[Shot], settings: CaptureSettings) -> Request:
    scene = context.scene
    context.view_layer.update()
    cycles = bpy.context.preferences.addons.get("cycles")
    on_gpu = cycles is not None and getattr(scene, "cycles", None) is not None and scene.cycles.device == "GPU"
    return Request(
        scene=scene.name,
        layer=context.view_layer.name,
        shots=tuple(_apart_shot(shot, context) for shot in shots),
        settings=settings,
        scripts=_scripts_allowed(),
        devices=tuple(d.id for d in cycles.preferences.devices if d.use) if on_gpu else None,
        device_kind=cycles.preferences.compute_device_type if on_gpu else "NONE",
    )


def _scripts_allowed() -> bool:
    """Whether Blender has held back none of the file's scripts and drivers."""
    return not bpy.app.autoexec_fail


def _apart_shot(shot: Shot, context: bpy.types.Context) -> ApartShot:
    library = shot.camera.library.name if shot.camera.library else ""
    named = ApartShot(shot.camera.name, library, shot.frame, shot.name)
    if shot.frame != context.scene.frame_current:
        return named
    seen = Seen.of(shot.camera.evaluated_get(context.view_layer.depsgraph))
    return replace(named, matrix=seen.matrix_world, lens=vars(seen.data))


def _write_pixels(path: Path, pixels: npt.NDArray[np.float32], channels: int) -> None:
    rgba = np.ones((len(pixels) // channels, 4), np.float32)
    rgba[:, :channels] = pixels.reshape(-1, channels)
    try:
        rgba.tofile(path)
    except OSError as error:
        raise NotAvailable(f"The scene cannot be copied: {error.strerror or error}.", _MAKE_ROOM) from error


@contextmanager
def _emptied(*lists: list[Any]) -> Iterator[None]:
    before = [list(handlers) for handlers in lists]
    try:
        for handlers in lists:
            handlers.clear()
        yield
    finally:
        for handlers, held in zip(lists, before, strict=True):
            handlers[:] = held


@contextmanager
def _no_preview(files: bpy.types.PreferencesFilePaths) -> Iterator[None]:
    """A preview is a picture of the window, drawn anew: a third of a second."""
    preferences = bpy.context.preferences
    before, dirty = files.file_preview_type, preferences.is_dirty
    if before == "NONE":
        yield
        return
    try:
        files.file_preview_type = "NONE"
        yield
    finally:
        files.file_preview_type = before
        preferences.is_dirty = dirty
