# SPDX-License-Identifier: GPL-3.0-or-later
"""One viewport's questions to the server, one at a time: the newest camera wins, small pictures while it moves, finer ones when it rests.

No bpy: time and the way to the server are given, so tests run it over a real server without a window.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...core.protocol import LookFields, expect, take
from ...core.wire.client import Call
from .cameras import ViewCamera

WANTED_SECONDS = 1 / 16
"""What the server may take for a picture of a moving view; with the way there and back, and Blender's drawing, that makes 12 a second."""
PATIENCE_SECONDS = 0.4
"""At rest, a full picture that would take longer than this is led up to by smaller ones."""
REST_SECONDS = 0.15
"""A view that has not moved for so long is at rest."""
LEAST_SCALE = 0.2
PIXELS_MOST = 2_000_000
"""Of one picture; a larger region is shown a smaller picture, so that the main thread never moves more than this at once."""
EXACT_SHOWS = ("CLASS", "INSTANCE")
"""What is shown more exactly at rest; see core.protocol.LookFields."""

Submit = Callable[[LookFields], Call]


@dataclass(frozen=True)
class Wanted:
    """What a region shows: a view of a scene of the server's, in one of core.protocol.SHOWS."""

    view: ViewCamera
    scene: str
    show: str


@dataclass(frozen=True)
class Picture:
    """An answer: texels [h, w, 2] of core.protocol.pack_texels, for what was wanted then, at a scale of the region's size.

    seconds: that the server took for it.
    """

    texels: npt.NDArray[np.float32]
    wanted: Wanted
    scale: float
    exact: bool
    seconds: float


class Pace:
    """The scale at which a moving view's pictures come in time, learnt from how long they take."""

    def __init__(self) -> None:
        self.scale = 0.5

    def took(self, seconds: float) -> None:
        """A moving view's picture at this scale took so many seconds of the server. Not all of the way at once: times jump about."""
        change = math.sqrt(WANTED_SECONDS / max(seconds, 1e-4))
        self.scale = min(1.0, max(LEAST_SCALE, self.scale * min(1.3, max(0.7, change))))


class LiveView:
    """One region's picture and the question for the next one."""

    def __init__(self, submit: Submit) -> None:
        self._submit = submit
        self.pace = Pace()
        self.wanted: Wanted | None = None
        self.picture: Picture | None = None
        self._moved_at = -math.inf
        self._call: Call | None = None
        self._asked: tuple[Wanted, float, bool, bool] | None = None

    @property
    def waiting(self) -> bool:
        """Whether an answer is on its way."""
        return self._call is not None

    @property
    def call(self) -> Call | None:
        return self._call

    def want(self, wanted: Wanted, now: float) -> None:
        """The region shows this now."""
        before = self.wanted
        if before is None or not wanted.view.same_view(before.view):
            self._moved_at = now
        self.wanted = wanted

    def moving(self, now: float) -> bool:
        return now - self._moved_at < REST_SECONDS

    def pump(self, now: float) -> bool:
        """Take the answer if it is there, and ask for the next picture if there is one to ask for; whether there is a new picture.

        Raises what the server says. Never waits.
        """
        new = self._take()
        if self._call is None and (step := self.next_step(now)) is not None:
            scale, exact = step
            assert self.wanted is not None
            self._ask(self.wanted, scale, exact, now)
        return new

    def next_step(self, now: float) -> tuple[float, bool] | None:
        """(scale, exact) of the next picture; None where the one that is there is as good as it gets, or the view will soon rest."""
        wanted, shown = self.wanted, self.picture
        if wanted is None:
            return None
        size = wanted.view.camera
        full = min(1.0, math.sqrt(PIXELS_MOST / (size.width * size.height)))
        quick = min(full, self.pace.scale)
        if shown is None or not _same(shown.wanted, wanted):
            return quick, False
        best_exact = wanted.show in EXACT_SHOWS
        if shown.scale >= full and shown.exact == best_exact:
            return None
        if self.moving(now):
            return None
        patient = shown.seconds * (full / shown.scale) ** 2 > PATIENCE_SECONDS
        scale = min(full, 2 * shown.scale) if patient else full
        return scale, best_exact and scale >= full

    def finished(self, now: float) -> bool:
        """Whether nothing is on its way, and nothing will be asked as long as nothing changes."""
        return self._call is None and not self.moving(now) and self.next_step(now) is None

    def _ask(self, wanted: Wanted, scale: float, exact: bool, now: float) -> None:
        view = wanted.view
        width, height = (max(1, round(scale * side)) for side in (view.camera.width, view.camera.height))
        camera = view.camera.resized(width, height)
        self._call = self._submit(LookFields(wanted.scene, camera, wanted.show, exact, view.near, view.far))
        self._asked = (wanted, scale, exact, self.moving(now))

    def _take(self) -> bool:
        if self._call is None or not self._call.done:
            return False
        call, self._call, asked = self._call, None, self._asked
        assert asked is not None
        wanted, scale, exact, moving = asked
        data, arrays = call.result()
        texels, seconds = expect(arrays, "look", np.float32, (None, None, 2)), take(data, "seconds", float)
        if moving:
            self.pace.took(seconds)
        if self.wanted is None or (wanted.scene, wanted.show) != (self.wanted.scene, self.wanted.show):
            return False  # of another scene or show than is wanted by now
        self.picture = Picture(texels, wanted, scale, exact, seconds)
        return True


def _same(one: Wanted, other: Wanted) -> bool:
    return (one.scene, one.show) == (other.scene, other.show) and one.view.same_view(other.view)
