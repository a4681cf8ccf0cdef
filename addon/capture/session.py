# SPDX-License-Identifier: GPL-3.0-or-later
"""One capture: from a scene and its shots to views.

How nothing is changed: the session renders a copy of the scene that shares the objects but has its own settings, view layer,
frame and compositor, through a camera of its own that takes each shot's place in turn. Leaving the session, however it is
left, removes the copy and the camera. (Changing settings and putting them back was the other way: it is easy to forget one,
going to another frame loses what the person has not keyed, and an undo in between brings a half-changed file.)

Between two renders the person may undo, or open another file. So everything is looked up by its name, nothing but cameras
is kept, and what went away is an error with a sentence.

Results of Splatonym are left out of the copy, so that a second prediction does not see the first.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import bpy
from mathutils import Matrix

from ...core.cameras import MAX_SIDE
from ...core.errors import InvalidInput, NotAvailable
from ...core.labels import LabelMap, preset
from ...core.views import Instance, View
from .cameras import Shot, check_pinhole, copy_lens, read_camera, scene_size, upright
from .classes import InstanceTable
from .render import Stage, prepare, render_colour, render_geometry, set_engine
from .unkeyed import unkeyed_kept

NAME = "Splatonym Capture"
RESULT_PROPERTY = "splatonym_result"


@dataclass(frozen=True)
class CaptureSettings:
    """What to render.

    width, height: pixels; one of them alone keeps the scene's shape, none of them takes the scene's size.
    resolution: the longer side in pixels, in the scene's shape; in place of width and height.
    samples: of the colour render. denoise: with Cycles, if this Blender is built with a denoiser (Debian's is not).
    engine: "CYCLES", "EEVEE", "WORKBENCH", an id as Blender has it, or None for the scene's own.
    depth, index: whether the views have them; either costs a second, short render.
    labels: the label set that names are matched against.
    """

    width: int | None = None
    height: int | None = None
    resolution: int | None = None
    samples: int = 16
    engine: str | None = None
    denoise: bool = True
    depth: bool = True
    index: bool = True
    labels: LabelMap = field(default_factory=lambda: preset("indoor"))

    def size(self, scene: bpy.types.Scene) -> tuple[int, int]:
        """Width and height in pixels; a size that cannot be rendered raises InvalidInput."""
        width, height = scene_size(scene)
        shape = width / height
        if self.resolution is not None:
            longer = self.resolution
            width, height = (longer, round(longer / shape)) if shape >= 1 else (round(longer * shape), longer)
        elif self.width is not None or self.height is not None:
            width = self.width if self.width is not None else round((self.height or 0) * shape)
            height = self.height if self.height is not None else round(width / shape)
        if not (4 <= width <= MAX_SIDE and 4 <= height <= MAX_SIDE):
            raise InvalidInput(f"Views of {width}x{height} pixels cannot be rendered.", f"Use 4 to {MAX_SIDE} pixels a side.")
        return width, height

    def check(self, scene: bpy.types.Scene) -> None:
        """Raise InvalidInput where this scene cannot be rendered so."""
        self.size(scene)
        if self.samples < 1:
            raise InvalidInput(f"{self.samples} samples cannot be rendered.", "Use 1 or more.")


@dataclass(frozen=True)
class Captured:
    """Views, the things seen in them by number, and the label set that names their classes."""

    views: list[View]
    instances: dict[int, Instance]
    labels: LabelMap


class CaptureSession:
    """A context manager that renders one shot a call; see the module's and the package's text."""

    def __init__(self, context: bpy.types.Context, settings: CaptureSettings | None = None) -> None:
        self._context = context
        self._settings = settings or CaptureSettings()
        self._cleanup = ExitStack()

    @property
    def instances(self) -> dict[int, Instance]:
        """What the views rendered so far show, by number."""
        return dict(sorted(self._table.seen.items()))

    @property
    def labels(self) -> LabelMap:
        """The label set with the names that custom properties added."""
        return self._table.labels

    def __enter__(self) -> CaptureSession:
        with ExitStack() as undo:
            self._begin(self._context, undo)
            self._cleanup = undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.leave()

    def leave(self) -> None:
        """Remove what is in the file for the time being; no view can be rendered any more."""
        self._cleanup.close()

    def _begin(self, context: bpy.types.Context, undo: ExitStack) -> None:
        source, settings = context.scene, self._settings
        self._source, self._layer = source.name, context.view_layer.name
        settings.check(source)
        self._size = settings.size(source)
        self._engine = settings.engine or source.render.engine
        self._table = InstanceTable(source, settings.labels)
        try:
            self._folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="splatonym-")))
        except OSError as error:
            why = error.strerror or str(error)
            raise NotAvailable(f"No temporary folder can be made: {why}.", "Make room on the disk, or set TMPDIR.") from error
        if "Render Result" not in bpy.data.images:
            undo.callback(_remove, "images", "Render Result")

        scene = source.copy()
        scene.name = NAME
        self._scene = scene.name
        undo.callback(_remove, "scenes", scene.name)
        undo.callback(_free_render, scene.name)
        scene.animation_data_clear()  # it would set our settings back
        for layer in [layer for layer in scene.view_layers if layer.name != self._layer]:
            scene.view_layers.remove(layer)
        prepare(scene, *self._size)
        set_engine(scene, self._engine)
        if settings.depth or settings.index:
            set_engine(scene, "CYCLES")
        _leave_results_out(scene.view_layers[0], undo)

        lens = bpy.data.cameras.new(NAME)
        undo.callback(_remove, "cameras", lens.name)
        scene.camera = bpy.data.objects.new(NAME, lens)
        undo.callback(_remove, "objects", scene.camera.name)
        scene.collection.objects.link(scene.camera)

    def render(self, shot: Shot) -> View:
        """Render one view; it takes as long as it takes, and a cancel waits for its end."""
        source, scene = bpy.data.scenes.get(self._source), bpy.data.scenes.get(self._scene)
        try:
            if source is None or scene is None:
                raise ReferenceError("a scene is gone")
            _refuse_moving_bodies(source, shot.frame)
            layer = source.view_layers.get(self._layer, source.view_layers[0])
            with unkeyed_kept(source, layer):
                return self._render(shot, layer, Stage(scene, self._folder))
        except ReferenceError as error:  # what Blender raises for a datablock that is gone
            raise InvalidInput(
                f"The scene or the camera of '{shot.name}' went away before it was rendered.",
                "Do not undo, save or open a file meanwhile; then try again.",
            ) from error

    def _render(self, shot: Shot, own_layer: bpy.types.ViewLayer, stage: Stage) -> View:
        settings, scene = self._settings, stage.scene
        check_pinhole(shot.camera)
        if shot.frame != scene.frame_current:
            scene.frame_set(shot.frame)
        seen = shot.seen or shot.camera.evaluated_get(_evaluated(shot.frame, own_layer, stage))
        copy_lens(scene.camera.data, seen.data)
        scene.camera.matrix_world = Matrix(upright(seen).tolist())
        camera = read_camera(seen, *self._size, scene)

        rgb = render_colour(stage, self._engine, settings.samples, settings.denoise)
        depth = index = None
        if settings.depth or settings.index:
            depth, hashes = render_geometry(stage)
            index = self._table.numbers(hashes)
        view = View(shot.name, camera, rgb, depth if settings.depth else None, index if settings.index else None)
        view.validate()
        return view


def capture(
    context: bpy.types.Context,
    shots: Sequence[Shot],
    settings: CaptureSettings | None = None,
    progress: Callable[[int, int, str], object] | None = None,
) -> Captured:
    """Render all shots; `progress(place, count, name)` is called before each."""
    views = []
    with CaptureSession(context, settings) as session:
        for place, shot in enumerate(shots):
            if progress is not None:
                progress(place, len(shots), shot.name)
            views.append(session.render(shot))
        return Captured(views, session.instances, session.labels)


def empty_views(views: Sequence[View]) -> list[str]:
    """The names of views that show no surface at all."""
    return [v.name for v in views if any(p is not None and not p.any() for p in (v.depth, v.index))]


def _evaluated(frame: int, own_layer: bpy.types.ViewLayer, stage: Stage) -> bpy.types.Depsgraph:
    """Where cameras are evaluated at a frame: the person's own frame in their view layer, any other in the copy's.

    The copy's layer is never updated by itself: that would write its animation into the file's objects.
    """
    if frame != own_layer.id_data.frame_current:
        return stage.layer.depsgraph
    own_layer.update()
    return own_layer.depsgraph


def _refuse_moving_bodies(source: bpy.types.Scene, frame: int) -> None:
    """Rigid bodies are simulated in the file's own scene only: the copy has them where they started."""
    world = source.rigidbody_world
    if world is None or not world.enabled or world.collection is None or frame <= world.point_cache.frame_start:
        return
    for thing in world.collection.objects:
        body = thing.rigid_body
        if body is not None and body.type == "ACTIVE" and body.enabled and not body.kinematic:
            raise NotAvailable(
                f"'{thing.name}' is moved by a rigid body simulation, which cannot be captured at frame {frame}.",
                "Bake it (Object > Rigid Body > Bake To Keyframes), or go to the simulation's first frame.",
            )


def _leave_results_out(layer: bpy.types.ViewLayer, undo: ExitStack) -> None:
    """Exclude Splatonym's collections from the copy's view layer, and hide the objects that were moved out of them."""
    waiting = list(layer.layer_collection.children)
    while waiting:
        branch = waiting.pop()
        if RESULT_PROPERTY in branch.collection:
            branch.exclude = True
        else:
            waiting.extend(branch.children)
    for thing in layer.objects:
        if RESULT_PROPERTY in thing and not thing.hide_render:
            thing.hide_render = True
            undo.callback(_show_again, thing.name)


def _show_again(name: str) -> None:
    if name in bpy.data.objects:
        bpy.data.objects[name].hide_render = False


def _free_render(name: str) -> None:
    """Have Blender drop what it keeps of the copy's renders: it knows it by the scene's address, which the next copy may get again."""
    if name in bpy.data.scenes:
        bpy.data.scenes[name].render.use_persistent_data = False


def _remove(kind: str, name: str) -> None:
    """Remove one of our datablocks, unless an undo or a loaded file took it away already."""
    blocks = getattr(bpy.data, kind)
    if name in blocks:
        blocks.remove(blocks[name])
