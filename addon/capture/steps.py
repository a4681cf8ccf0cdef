# SPDX-License-Identifier: GPL-3.0-or-later
"""A capture as steps of a job: in a window by a second Blender, in scripts here and now."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import bpy

from ..jobs import Step, in_thread
from .apart import Apart, unsaved_pictures, why_not_apart
from .cameras import Shot
from .session import Captured, CaptureSession, CaptureSettings

STAGE = "Capture"


def capture_in_steps(
    context: bpy.types.Context,
    shots: Sequence[Shot],
    settings: CaptureSettings,
    check: Callable[[], object] = lambda: None,
    *,
    apart: bool | None = None,
) -> Generator[Step, None, Captured]:
    """Render all shots; `check` is called at every step, and what it raises ends the capture.

    apart: whether a second Blender renders; None leaves it to `bpy.app.background`. Either way gives the same views, and steps that are closed
    early leave nothing behind.
    """
    settings.check(context.scene)
    wanted = not bpy.app.background if apart is None else apart
    why_not = why_not_apart(context.scene) if wanted else ""
    if wanted and not why_not:
        return (yield from _apart(context, shots, settings, check))
    note = f"; the window waits: {why_not}" if why_not else ""
    views = []
    with CaptureSession(context, settings) as session, _left_before_save(session):
        for place, shot in enumerate(shots):
            yield _step(place, shots, note, waiting=not bpy.app.background)  # a window shows the step before it stands still
            check()
            views.append(session.render(shot))
        return Captured(views, session.instances, session.labels)


def _apart(
    context: bpy.types.Context, shots: Sequence[Shot], settings: CaptureSettings, check: Callable[[], object]
) -> Generator[Step, None, Captured]:
    views = []
    with Apart(context, shots, settings) as child:
        first = Step(STAGE, 0.0, "copying the scene", waiting=True)
        for name in unsaved_pictures():
            yield from in_thread(child.take_picture(name), first)
        yield first
        child.send()
        for place in range(len(shots)):
            step = _step(place, shots, waiting=True)
            while not child.has_view(place):
                yield step
                check()
            views.append((yield from in_thread(partial(child.view, place), step)))
        while not child.has_ended():
            yield step
        return child.captured(views)


@contextmanager
def _left_before_save(session: CaptureSession) -> Iterator[None]:
    """The copied scene must not end up in a file that the person saves between two views; the next view then says so."""

    def leave(*_arguments: object) -> None:
        session.leave()

    handlers = bpy.app.handlers.save_pre
    handlers.append(leave)
    try:
        yield
    finally:
        if leave in handlers:  # Blender removes it where another file is loaded
            handlers.remove(leave)


def _step(place: int, shots: Sequence[Shot], note: str = "", *, waiting: bool) -> Step:
    return Step(STAGE, place / len(shots), f"{shots[place].name} ({place + 1} of {len(shots)}){note}", waiting)
