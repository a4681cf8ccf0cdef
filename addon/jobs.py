# SPDX-License-Identifier: GPL-3.0-or-later
"""Long work in Blender: the same steps, run to their end by a script or one per timer tick behind the panel.

Work is a generator that yields a `Step` whenever it has something to tell or would wait, and returns its outcome. Closing the
generator cancels it: its context managers restore what it changed. bpy is touched on the main thread only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import bpy
from bpy.app.handlers import persistent

from ..core.errors import Cancelled, SplatonymError

TICK = 0.05
"""Seconds between two steps in a window."""
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


@dataclass
class JobState:
    """What the panel shows; never saved in the .blend."""

    work: Work | None = None
    step: Step = field(default_factory=lambda: Step("", 0.0))
    cancel_asked: bool = False
    error: SplatonymError | None = None
    message: str = ""

    @property
    def running(self) -> bool:
        return self.work is not None


state = JobState()


def run_to_end(work: Work, tell: Callable[[Step], None] | None = None) -> Any:
    """Run all steps now (scripts, background); returns the work's outcome and lets its errors through."""
    told: tuple[str, str] | None = None
    while True:
        try:
            step = next(work)
        except StopIteration as end:
            return end.value
        if tell is not None and (step.stage, step.text) != told:
            told = (step.stage, step.text)
            tell(step)
        if step.waiting:
            time.sleep(WAIT)


class ModalWork:
    """Mixin for an operator: `execute` runs the work to its end, `invoke` one step per timer tick with progress and cancel.

    The operator gives `begin(context) -> Work` and `done(context, outcome) -> str`, the sentence that reports it.
    """

    _timer: bpy.types.Timer | None = None

    def begin(self, context: bpy.types.Context) -> Work:
        raise TypeError(f"{type(self).__name__} has no work to begin")

    def done(self, context: bpy.types.Context, outcome: Any) -> str:
        raise TypeError(f"{type(self).__name__} does not say what was done")

    def execute(self, context: bpy.types.Context) -> set[str]:
        if state.running:
            self.report({"ERROR"}, "Another job is running; cancel it or wait for it.")
            return {"CANCELLED"}
        try:
            outcome = run_to_end(self.begin(context))
        except SplatonymError as error:
            return self._failed(error)
        return self._finished(context, outcome)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if bpy.app.background:
            return self.execute(context)
        if state.running:
            return {"CANCELLED"}
        state.error, state.message, state.cancel_asked = None, "", False
        try:
            state.work, state.step = self.begin(context), Step("Start", 0.0)
        except SplatonymError as error:
            return self._failed(error)
        self._timer = context.window_manager.event_timer_add(TICK, window=context.window)
        context.window_manager.modal_handler_add(self)
        context.workspace.status_text_set("Splatonym is working; Esc cancels")
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if state.work is None:  # another file was loaded, or the add-on is going
            return self._end(context, {"CANCELLED"})
        if event.type == "ESC" and event.value == "PRESS":
            state.cancel_asked = True
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        try:
            if state.cancel_asked:
                raise Cancelled()
            before = state.step
            state.step = next(state.work)
            if state.step != before:
                redraw(context)
        except StopIteration as end:
            stop()
            return self._end(context, self._finished(context, end.value))
        except SplatonymError as error:
            stop()
            return self._end(context, self._failed(error))
        except BaseException:  # a bug of ours: Blender shows it; the job must not stay "running"
            stop()
            self._end(context, {"CANCELLED"})
            raise
        return {"RUNNING_MODAL"}

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends the operator itself (it quits, or the window closes)."""
        stop()
        self._end(context, {"CANCELLED"})

    def _finished(self, context: bpy.types.Context, outcome: Any) -> set[str]:
        state.error, state.message = None, self.done(context, outcome)
        self.report({"INFO"}, state.message)
        return {"FINISHED"}

    def _failed(self, error: SplatonymError) -> set[str]:
        cancelled = isinstance(error, Cancelled)
        state.error, state.message = None if cancelled else error, error.message if cancelled else ""
        # In a script an error report raises RuntimeError; in a window the panel shows the sentence and its repair.
        self.report({"INFO" if cancelled else "ERROR"}, error.sentence())
        return {"CANCELLED"}

    def _end(self, context: bpy.types.Context, result: set[str]) -> set[str]:
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None
        if context.workspace is not None:
            context.workspace.status_text_set(None)
        redraw(context)
        return result


def stop() -> None:
    """Close the work, wherever it is; what it changed for the time being is restored."""
    work, state.work = state.work, None
    if work is not None:
        work.close()


def redraw(context: bpy.types.Context) -> None:
    """Redraw the sidebars of all 3D views."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


@persistent
def _stop_before_load(*_arguments: Any) -> None:
    """The work belongs to the file that is going away."""
    stop()
    state.error, state.message = None, ""


@persistent
def _stop_before_save(*_arguments: Any) -> None:
    """Capture works in a temporary scene, which must not end up in the file; later stages may go on."""
    if state.running and state.step.stage == "Capture":
        stop()
        state.message = "Cancelled: the file was saved while its cameras were rendered."


def register() -> None:
    bpy.app.handlers.load_pre.append(_stop_before_load)
    bpy.app.handlers.save_pre.append(_stop_before_save)


def unregister() -> None:
    stop()
    bpy.app.handlers.load_pre.remove(_stop_before_load)
    bpy.app.handlers.save_pre.remove(_stop_before_save)
