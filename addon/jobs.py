# SPDX-License-Identifier: GPL-3.0-or-later
"""Long work in Blender: the same steps, run to their end by a script or a few per timer tick behind the panel.

Work is a generator that yields a `Step` whenever it has something to tell or would wait, and returns its outcome. Closing the
generator cancels it: its context managers restore what it changed. bpy is touched on the main thread only, and no step in a window
should take longer than 50 ms: what needs no bpy goes into a thread (`in_thread`), what needs it is cut up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import bpy
from bpy.app.handlers import persistent
from bpy.app.translations import pgettext_iface as _

from ..core.errors import Cancelled, InvalidInput, SplatonymError
from .forecast import Forecast

TAB = "Splatonym"
"""The sidebar's tab."""
TICK = 0.05
"""Seconds between two ticks in a window."""
BUDGET = 0.015
"""Seconds after which a tick begins no other step; so a tick lasts this long and one step more."""
_SHORT = 0.005
"""Seconds that work in a thread is waited for before the next step: what is done by then costs no tick."""
WAIT = 0.01
"""Seconds that a script sleeps where the work waits for the server."""


@dataclass(frozen=True)
class Step:
    """How far the work is. `waiting`: nothing to do in Blender until the server says more."""

    stage: str
    fraction: float
    text: str = ""
    waiting: bool = False


Work = Generator[Step, None, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Home:
    """The scene and view layer that a job was begun in. The window may show another scene by the time a step is taken."""

    scene: int
    layer: str

    @classmethod
    def of(cls, context: bpy.types.Context) -> Home:
        return cls(context.scene.session_uid, context.view_layer.name)

    def entered(self, context: bpy.types.Context) -> AbstractContextManager[Any]:
        """Around a step: the context is that of the job's own scene. A scene that is gone raises InvalidInput."""
        if (context.scene.session_uid, context.view_layer.name) == (self.scene, self.layer):
            return nullcontext()
        scene = next((one for one in bpy.data.scenes if one.session_uid == self.scene), None)
        if scene is None:
            raise InvalidInput("The scene that the job works on went away.", "Do not remove it meanwhile; then try again.")
        layer = scene.view_layers.get(self.layer, scene.view_layers[0])
        return context.temp_override(scene=scene, view_layer=layer)


@dataclass
class Shown:
    """What a job that runs in a window has of it, to be given back by whoever ends it: the timer, and the workspace that tells of the job."""

    timer: bpy.types.Timer
    workspace: str

    def take_back(self, context: bpy.types.Context) -> None:
        context.window_manager.event_timer_remove(self.timer)
        workspace = bpy.data.workspaces.get(self.workspace)
        given: dict[str, Any] = {}
        if context.window is None:  # in a timer. Else it stays: it may be one that is being closed, which cannot be given
            given["window"] = next(iter(context.window_manager.windows), None)
        if workspace is not None and given.get("window", context.window) is not None:
            with context.temp_override(workspace=workspace, **given):  # Blender writes into the context's, not into this one
                workspace.status_text_set(None)


@dataclass
class JobState:
    """What the panel shows; never saved in the .blend.

    place: the panel whose button began the last job, where its error or success is told.
    """

    work: Work | None = None
    home: Home | None = None
    shown: Shown | None = None
    step: Step = field(default_factory=lambda: Step("", 0.0))
    cancel_asked: bool = False
    error: SplatonymError | None = None
    message: str = ""
    cancelled: bool = False
    place: str = "predict"
    forecast: Forecast = field(default_factory=Forecast)

    @property
    def running(self) -> bool:
        return self.work is not None

    def told(self, place: str, message: str = "", error: SplatonymError | None = None) -> None:
        """What the panel of this name says from now on."""
        self.place, self.message, self.error, self.cancelled = place, message, error, False


state = JobState()
terminal: Callable[[Step], None] | None = None
"""Who is told the steps of operators that run to their end; the Blender command sets it."""


def in_thread(work: Callable[[], T], step: Step) -> Generator[Step, None, T]:
    """Run what touches no bpy in a thread, waiting step by step; its outcome, or its error, is returned or raised here.

    Steps that are closed early leave the thread to end by itself: nobody takes its outcome.
    """

    def steps() -> Generator[Step, None, T]:
        return work()
        yield  # a generator without steps of its own

    return threaded(steps(), step)


def threaded(work: Generator[Step, None, T], first: Step) -> Generator[Step, None, T]:
    """The steps of work that touches no bpy, taken in a thread; what comes out are its newest steps, waiting, and its outcome or error.

    Steps that are closed early have the work closed at its next one, in its thread.
    """
    newest, outcome, failed, unwanted = [first], list[T](), list[BaseException](), threading.Event()

    def run() -> None:
        try:
            while not unwanted.is_set():
                newest[0] = next(work)
            work.close()
        except StopIteration as end:
            outcome.append(end.value)
        except BaseException as error:  # noqa: BLE001 - raised again where the steps are taken
            failed.append(error)

    thread = threading.Thread(target=run, name=f"splatonym {first.stage}", daemon=True)
    thread.start()
    try:
        while thread.join(_SHORT) or thread.is_alive():
            yield replace(newest[0], waiting=True)
    finally:
        unwanted.set()
    if failed:
        raise failed[0]
    return outcome[0]


def _next(work: Work) -> Step:
    """The next step. What Blender raises for a datablock that is gone becomes a sentence: people may undo and delete between two steps."""
    try:
        return next(work)
    except ReferenceError as error:
        raise InvalidInput(
            "Something that the job works on went away.", "Do not undo or remove it meanwhile; then try again."
        ) from error


def run_to_end(work: Work, tell: Callable[[Step], None] | None = None) -> Any:
    """Run all steps now (scripts, background); returns the work's outcome and lets its errors through."""
    told: tuple[str, str] | None = None
    try:
        while True:
            try:
                step = _next(work)
            except StopIteration as end:
                return end.value
            if tell is not None and (step.stage, step.text) != told:
                told = (step.stage, step.text)
                tell(step)
            if step.waiting:
                time.sleep(WAIT)
    finally:
        work.close()  # also where a person interrupts, whose error would keep the work alive


def advance(work: Work) -> Step:
    """One tick: steps until one waits or the time is up. Work that ends raises StopIteration, as `next` does."""
    begun = time.perf_counter()
    while True:
        step = _next(work)
        if step.waiting or time.perf_counter() - begun > BUDGET:
            return step


class ModalWork:
    """Mixin for an operator: `execute` runs the work to its end, `invoke` a few steps per timer tick with progress and cancel.

    The operator gives `begin(context) -> Work` and `done(context, outcome) -> str`, the sentence that reports it, and the panel whose
    work it does.
    """

    place = "predict"
    """The panel where progress, errors and success are told."""
    _in_window = False

    _work: Work | None = None

    def begin(self, context: bpy.types.Context) -> Work:
        raise TypeError(f"{type(self).__name__} has no work to begin")

    def done(self, context: bpy.types.Context, outcome: Any) -> str:
        raise TypeError(f"{type(self).__name__} does not say what was done")

    def execute(self, context: bpy.types.Context) -> set[str]:
        if state.running:
            self.report({"ERROR"}, "Another job is running; cancel it or wait for it.")
            return {"CANCELLED"}
        try:
            return self._finished(context, run_to_end(self.begin(context), terminal))
        except SplatonymError as error:
            return self._failed(error)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if bpy.app.background:
            return self.execute(context)
        self._in_window = True
        if state.running:
            self.report({"WARNING"}, "Another job is running; cancel it or wait for it.")
            return {"CANCELLED"}
        state.told(self.place)
        state.cancel_asked = False
        try:
            state.work, state.step = self.begin(context), Step("Start", 0.0)
        except SplatonymError as error:
            return self._failed(error)
        self._work, state.home = state.work, Home.of(context)
        state.forecast.begin(type(self).__name__)
        timer = context.window_manager.event_timer_add(TICK, window=context.window)
        state.shown = Shown(timer, context.workspace.name)
        context.window_manager.modal_handler_add(self)
        context.workspace.status_text_set(_("Splatonym is working; Esc cancels"))
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if state.work is None or state.work is not self._work:  # another file was loaded, or the add-on is going
            return {"CANCELLED"}
        if event.type == "ESC" and event.value == "PRESS":
            state.cancel_asked = True
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        try:
            result = self._tick(context)
        except SplatonymError as error:
            stop()
            result = self._failed(error)
        except BaseException:  # a bug of ours: Blender shows it; the job must not stay "running"
            stop()
            redraw(context)
            raise
        if result is None:
            return {"RUNNING_MODAL"}
        redraw(context)
        return result

    def _tick(self, context: bpy.types.Context) -> set[str] | None:
        """One tick of the work; the operator's result where it has come to its end."""
        assert state.work is not None and state.home is not None
        if state.cancel_asked:
            raise Cancelled()
        with state.home.entered(context):
            try:
                step = advance(state.work)
            except StopIteration as end:
                state.forecast.end()
                stop()
                return self._finished(context, end.value)
        before, state.step = state.step, step
        counted = state.forecast.tell(step.stage, step.fraction)
        if step != before or counted:
            redraw(context)
        return None

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends the operator itself (it quits, or the window closes)."""
        if state.work is self._work:
            stop()
            redraw(context)

    def _finished(self, context: bpy.types.Context, outcome: Any) -> set[str]:
        state.told(self.place, self.done(context, outcome))
        self.report({"INFO"}, state.message)
        return {"FINISHED"}

    def _failed(self, error: SplatonymError) -> set[str]:
        cancelled = isinstance(error, Cancelled)
        state.told(self.place, error.message if cancelled else "", None if cancelled else error)
        state.cancelled = cancelled
        # An error report raises RuntimeError in a script, and opens a popup in a window: over a panel that says it anyway, and has the repair.
        shown = self._in_window and sidebar_shows(bpy.context)
        self.report({"INFO" if cancelled else "WARNING" if shown else "ERROR"}, error.sentence())
        return {"CANCELLED"}


def stop() -> None:
    """Close the work, wherever it is: what it changed for the time being is restored, and the window has no timer and no text of it.

    The operator need not be asked: one that is unregistered is dropped by Blender without a word to it.
    """
    work, shown = state.work, state.shown
    state.work = state.home = state.shown = None
    try:
        if work is not None:
            work.close()
    finally:
        if shown is not None:
            shown.take_back(bpy.context)


def sidebar_shows(context: bpy.types.Context) -> bool:
    """Whether a sidebar with our tab in front is open somewhere."""
    areas = (area for window in context.window_manager.windows for area in window.screen.areas if area.type == "VIEW_3D")
    return any(
        area.spaces.active.show_region_ui and region.active_panel_category == TAB
        for area in areas
        for region in area.regions
        if region.type == "UI"
    )


def redraw(context: bpy.types.Context) -> None:
    """Redraw the sidebars of all 3D views, and not the views themselves: those may be slow, and show the same."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            for region in area.regions if area.type == "VIEW_3D" else ():
                if region.type == "UI":
                    region.tag_redraw()


@persistent
def _stop_before_load(*_arguments: Any) -> None:
    """The work belongs to the file that is going away."""
    stop()
    state.told("predict")


def register() -> None:
    bpy.app.handlers.load_pre.append(_stop_before_load)


def unregister() -> None:
    stop()
    bpy.app.handlers.load_pre.remove(_stop_before_load)
