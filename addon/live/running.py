# SPDX-License-Identifier: GPL-3.0-or-later
"""The live view in Blender: which viewports show it, a timer that asks and takes, a handler that draws, and everything that ends it.

Nothing here waits. The draw handler says what a region shows and draws the newest picture; the timer (bpy.app.timers) takes answers, asks
for the next, and has a region drawn again when it has a new picture, never else. While a job runs nothing is asked: the server works
through its requests one at a time, and the job's come first.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import bpy
from bpy.app.handlers import persistent
from bpy.app.translations import pgettext_iface as _

from ...core.errors import Cancelled, NotAvailable, SplatonymError
from ...core.wire.errors import ServerDied
from .. import connection, jobs
from . import drawing, hiding
from .asking import LiveView, Wanted
from .cameras import view_camera
from .source import Source

BUSY_TICK, IDLE_TICK = 0.008, 0.1
"""Seconds between two ticks, while an answer is on its way or the points are read, and else."""
LOOK_SECONDS = 0.3
"""How often a result is compared with what the server has."""
UNSEEN_SECONDS = 20.0
"""A region that was not drawn for so long is forgotten, with its texture."""
PLACE = "live"


@dataclass
class _Region:
    """One region's view, and what draws it."""

    space: int
    source: tuple[str, str, str]
    live: LiveView
    canvas: drawing.Canvas = field(default_factory=drawing.Canvas)
    drawn_at: float = 0.0


@dataclass
class Figures:
    """Seconds, of late: what a tick of the timer took, what drawing took of our own, and when new pictures were drawn."""

    ticks: deque[float] = field(default_factory=lambda: deque(maxlen=600))
    draws: deque[float] = field(default_factory=lambda: deque(maxlen=600))
    pictures: deque[float] = field(default_factory=lambda: deque(maxlen=600))


@dataclass
class _State:
    spaces: set[int] = field(default_factory=set)
    """The 3D viewports (SpaceView3D) that show the live view."""
    regions: dict[int, _Region] = field(default_factory=dict)
    sources: dict[tuple[str, str, str], Source] = field(default_factory=dict)
    handler: Any = None
    looked_at: float = 0.0
    told: str = ""
    broken: SplatonymError | None = None
    """What was wrong while drawing, for the timer: drawing is no time to change what is registered."""
    figures: Figures = field(default_factory=Figures)


_state = _State()


def is_live(space: bpy.types.Space) -> bool:
    """Whether a 3D viewport shows the live view."""
    return space.as_pointer() in _state.spaces


def any_live() -> bool:
    return bool(_state.spaces)


def figures() -> Figures:
    """What was measured; for the benchmark."""
    return _state.figures


def start(space: bpy.types.Space) -> None:
    """Show the live view in a 3D viewport. Raises a typed error where there is no server to ask."""
    connection.client()
    _state.spaces.add(space.as_pointer())
    if _state.handler is None:
        _state.handler = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_VIEW")
    if not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=0.0, persistent=True)
    redraw()


def stop(space: bpy.types.Space) -> None:
    """Show it no more in a 3D viewport."""
    pointer = space.as_pointer()
    _state.spaces.discard(pointer)
    _state.regions = {key: region for key, region in _state.regions.items() if region.space != pointer}
    if not _state.spaces:
        stop_all()
    redraw()


def stop_all(*, restore: bool = True) -> None:
    """Show it nowhere, and leave nothing behind: no timer, no handler, no hidden points, no scene at the server."""
    if _state.handler is not None:
        bpy.types.SpaceView3D.draw_handler_remove(_state.handler, "WINDOW")
        _state.handler = None
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    for source in _state.sources.values():
        source.close()
    for kept in (_state.spaces, _state.regions, _state.sources):
        kept.clear()
    _state.told, _state.broken = "", None
    if restore:
        hiding.show_again()


def status(space: bpy.types.Space) -> str:
    """How the live view of a viewport is doing, as a word for the panel; see panels/live.py."""
    regions = [region for region in _state.regions.values() if region.space == space.as_pointer()]
    if jobs.state.running:
        return "JOB"
    sources = [_state.sources[region.source] for region in regions if region.source in _state.sources]
    if not sources:
        return "START"
    if not sources[0].number:
        return "SERVER" if sources[0].step.waiting and sources[0].step.stage != "Read" else "READ"
    wanted = regions[0].live.wanted
    if wanted is not None and wanted.show == "ANSWER" and not sources[0].has_scores:
        return "UNASKED"
    if regions[0].live.picture is None:
        return "SERVER"
    return "ON"


# --- Blender calls these ------------------------------------------------------------------------------------------------------


def _draw() -> None:
    """The draw handler of all 3D viewports: say what the region shows, and draw the newest picture of it."""
    context = bpy.context
    space, region, view3d = context.space_data, context.region, context.region_data
    if space is None or view3d is None or space.as_pointer() not in _state.spaces:
        return
    began = time.perf_counter()
    settings = context.scene.splatonym_live
    key = (context.scene.name, context.view_layer.name, settings.result)
    source = _state.sources.get(key)
    if source is None:
        source = _state.sources[key] = Source(*key)
    here = _state.regions.get(region.as_pointer())
    if here is None or here.source != key:
        here = _state.regions[region.as_pointer()] = _Region(space.as_pointer(), key, LiveView(source.ask))
    here.drawn_at = now = time.monotonic()
    try:
        view = view_camera(view3d.window_matrix, view3d.view_matrix, region.width, region.height)
    except SplatonymError:  # a view without a size or an extent; the next one may have both
        return
    here.live.want(Wanted(view, source.number, settings.show), now)
    if not jobs.state.running:
        try:
            _pump(here, now, drawing_now=True)  # an answer that came while Blender drew, and the next question at once
        except SplatonymError as error:
            _state.broken = error
    picture = here.live.picture
    if picture is not None and picture.wanted.show == settings.show and _state.broken is None:
        try:
            here.canvas.show(picture)
            here.canvas.draw(view, over=settings.depth == "OVER", opacity=settings.opacity, tolerance=settings.tolerance)
        except Exception as error:  # noqa: BLE001 - a driver that takes no such shader; the timer ends the live view and says so
            _state.broken = NotAvailable(
                f"This graphics driver cannot draw the live view: {error}", "Use Render Splat View instead."
            )
    _state.figures.draws.append(time.perf_counter() - began)


def _tick() -> float | None:
    """The timer: a short step of everything, then again."""
    began = time.perf_counter()
    try:
        busy = _step(time.monotonic())
    except SplatonymError as error:
        _failed(error)
    except BaseException:  # a bug of ours: Blender shows it, and the live view must not stay half on
        stop_all()
        raise
    finally:
        _state.figures.ticks.append(time.perf_counter() - began)
    if not _state.spaces:
        return None
    return BUSY_TICK if busy else IDLE_TICK


def _step(now: float) -> bool:
    """Whether something is on its way."""
    _forget_the_gone(now)
    if not _state.spaces:
        stop_all()
        return False
    if _state.broken is not None:
        raise _state.broken
    connection.check()
    _tell_panels()
    if jobs.state.running:
        return any(region.live.waiting and _pump(region, now) for region in _state.regions.values())
    if now - _state.looked_at > LOOK_SECONDS:
        _state.looked_at = now
        _look_at_results(now)
    busy = False
    for source in list(_state.sources.values()):
        source.advance(now)
        busy |= source.busy
    for region in _state.regions.values():
        busy |= _pump(region, now)
    return busy


def _pump(region: _Region, now: float, *, drawing_now: bool = False) -> bool:
    """Take and ask for one region; whether there will be more soon."""
    source = _state.sources[region.source]
    wanted = region.live.wanted
    if wanted is None or not (source.number or region.live.waiting):
        return False
    if wanted.scene != source.number:
        region.live.want(Wanted(wanted.view, source.number, wanted.show), now)
    unasked = wanted.show == "ANSWER" and not source.has_scores
    if (jobs.state.running or unasked) and not region.live.waiting:
        return False
    try:
        if region.live.pump(now):
            source.answered()
            _state.figures.pictures.append(time.perf_counter())
            if not drawing_now:
                _redraw_region(region)
    except Cancelled:  # the server was stopped on purpose, and another will be asked
        pass
    except NotAvailable:
        if source.tried_enough:
            raise
        source.forget_sent(now)
    return not region.live.finished(now)


def _look_at_results(now: float) -> None:
    """Find out what changed, hide the points that are shown live, and end where there is nothing to show."""
    seen = {region.source for region in _state.regions.values()}
    for key in [key for key in _state.sources if key not in seen]:
        _state.sources.pop(key).close()
    hidden = []
    for key, source in _state.sources.items():
        source.look_for_changes(now)
        result, scene = source.find(), bpy.data.scenes.get(key[0])
        if result is None or scene is None:
            continue
        layer = scene.view_layers.get(key[1])
        if scene.splatonym_live.hide_points and layer is not None and source.number:
            hiding.hide(scene, layer, result.collection)
            hidden.append(result.collection.name)
    hiding.show_again(but=tuple(hidden))
    if _state.sources and all(source.find() is None for source in _state.sources.values()):
        stop_all()
        if not jobs.state.running:
            jobs.state.told(PLACE, _("The result is gone, so the live view is off."))
        redraw()


def _forget_the_gone(now: float) -> None:
    """Viewports that were closed, and regions that are not drawn any more."""
    there = {space.as_pointer() for space in _open_spaces()}
    _state.spaces &= there
    _state.regions = {
        key: region
        for key, region in _state.regions.items()
        if region.space in _state.spaces and (now - region.drawn_at < UNSEEN_SECONDS or region.live.waiting or _is_open(key))
    }


def _open_spaces() -> Iterator[bpy.types.Space]:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                yield area.spaces.active


def _open_regions() -> Iterator[bpy.types.Region]:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                yield from (region for region in area.regions if region.type == "WINDOW")


def _is_open(pointer: int) -> bool:
    return any(region.as_pointer() == pointer for region in _open_regions())


def _redraw_region(region: _Region) -> None:
    for open_region in _open_regions():
        if _state.regions.get(open_region.as_pointer()) is region:
            open_region.tag_redraw()


def redraw() -> None:
    """Draw all 3D viewports again: a setting was changed."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


def _tell_panels() -> None:
    """Draw the sidebars again where what they say of the live view has changed."""
    said = " ".join(status(space) for space in _open_spaces() if space.as_pointer() in _state.spaces)
    if said == _state.told:
        return
    _state.told = said
    jobs.redraw(bpy.context)


def _failed(error: SplatonymError) -> None:
    """Off, with a sentence, and a button where there is one. A job that runs tells its own errors in this place."""
    stop_all()
    if isinstance(error, ServerDied) and not error.repair:
        error.repair = "splatonym.live_view"  # which starts another server
    if not jobs.state.running and jobs.state.error is not error:  # a job that ran may have told of the same server's end
        jobs.state.told(PLACE, error=error)
    redraw()


@persistent
def _note_changes(_scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    """Points were edited: cheap, since it is called all the time."""
    if not _state.sources:
        return
    for update in depsgraph.updates:
        if update.is_updated_geometry:
            for source in _state.sources.values():
                if update.id.name in source.names:
                    source.changed(time.monotonic())


@persistent
def _after_undo(*_arguments: Any) -> None:
    """Everything may be different; what is hidden may be so from a time when the live view was on."""
    now = time.monotonic()
    for source in _state.sources.values():
        source.changed(now)
    if not _state.spaces:
        hiding.show_again()


@persistent
def _before_load(*_arguments: Any) -> None:
    stop_all(restore=False)


@persistent
def _after_load(*_arguments: Any) -> None:
    hiding.show_again()


@persistent
def _around_save(*_arguments: Any) -> None:
    """The file must not remember what is hidden for the time being; it is hidden again by the timer."""
    hiding.show_again()
    _state.looked_at = time.monotonic() if _state.spaces else 0.0


_HANDLERS = (
    ("depsgraph_update_post", _note_changes),
    ("undo_post", _after_undo),
    ("redo_post", _after_undo),
    ("load_pre", _before_load),
    ("load_post", _after_load),
    ("load_post_fail", _after_load),
    ("save_pre", _around_save),
)


def register() -> None:
    for name, function in _HANDLERS:
        getattr(bpy.app.handlers, name).append(function)


def unregister() -> None:
    stop_all()
    drawing.forget()
    for name, function in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(function)
