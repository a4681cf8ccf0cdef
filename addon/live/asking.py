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
LADDER = ((1.0, 1), (0.7, 1), (0.5, 1), (0.5, 2), (0.35, 2), (0.35, 4), (0.25, 4), (0.25, 8), (0.2, 16))
"""(scale, every) of a moving view's pictures, from the finest to the quickest: of the full size, and of the Gaussians one in so many."""
PIXELS_MOST = 2_000_000
"""Of one picture; a larger region is shown a smaller picture, so that the main thread never moves more than this at once."""
EXACT_SHOWS = ("CLASS", "INSTANCE")
"""What is shown more exactly at rest; see core.protocol.LookFields."""

Quality = tuple[float, int, bool]
"""(scale, every, exact) of a picture; see LADDER and LookFields."""
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

    every: see LookFields. seconds: that the server took for it.
    """

    texels: npt.NDArray[np.float32]
    wanted: Wanted
    scale: float
    every: int
    exact: bool
    seconds: float


class Pace:
    """The rung of LADDER at which a moving view's pictures come in time, learnt from how long they take."""

    def __init__(self) -> None:
        self.rung = 2

    @property
    def scale(self) -> float:
        return LADDER[self.rung][0]

    @property
    def every(self) -> int:
        return LADDER[self.rung][1]

    def took(self, seconds: float) -> None:
        """A moving view's picture at this rung took so many seconds of the server."""
        if seconds > 1.2 * WANTED_SECONDS:
            self.rung = min(self.rung + 1, len(LADDER) - 1)
        elif seconds < 0.5 * WANTED_SECONDS:
            self.rung = max(self.rung - 1, 0)


class LiveView:
    """One region's picture and the question for the next one."""

    def __init__(self, submit: Submit) -> None:
        self._submit = submit
        self.pace = Pace()
        self.wanted: Wanted | None = None
        self.picture: Picture | None = None
        self._moved_at = -math.inf
        self._call: Call | None = None
        self._asked: tuple[Wanted, Quality, bool] | None = None

    @property
    def waiting(self) -> bool:
        """Whether an answer is on its way."""
        return self._call is not None

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
        if self._call is None and self.wanted is not None and (quality := self.next_step(now)) is not None:
            self._ask(self.wanted, quality, now)
        return new

    def next_step(self, now: float) -> Quality | None:
        """What the next picture is to be like; None where the one that is there is as good as it gets, or the view may soon rest."""
        wanted, shown = self.wanted, self.picture
        if wanted is None:
            return None
        size = wanted.view.camera
        full = min(1.0, math.sqrt(PIXELS_MOST / (size.width * size.height)))
        if shown is None or not _same(shown.wanted, wanted):
            return full * self.pace.scale, self.pace.every, False
        best = (full, 1, wanted.show in EXACT_SHOWS)
        if (shown.scale, shown.every, shown.exact) == best or self.moving(now):
            return None
        if shown.seconds * (full / shown.scale) ** 2 * shown.every > PATIENCE_SECONDS and shown.scale < full / 2:
            return 2 * shown.scale, 1, False
        return best

    def finished(self, now: float) -> bool:
        """Whether nothing is on its way, and nothing will be asked as long as nothing changes."""
        return self._call is None and not self.moving(now) and self.next_step(now) is None

    def _ask(self, wanted: Wanted, quality: Quality, now: float) -> None:
        view, (scale, every, exact) = wanted.view, quality
        width, height = (max(1, round(scale * side)) for side in (view.camera.width, view.camera.height))
        camera = view.camera.resized(width, height)
        self._call = self._submit(LookFields(wanted.scene, camera, wanted.show, exact, view.near, view.far, every))
        self._asked = (wanted, quality, self.moving(now))

    def _take(self) -> bool:
        if self._call is None or not self._call.done:
            return False
        call, self._call, asked = self._call, None, self._asked
        assert asked is not None
        wanted, quality, moving = asked
        data, arrays = call.result()
        texels, seconds = expect(arrays, "look", np.float32, (None, None, 2)), take(data, "seconds", float)
        if moving:
            self.pace.took(seconds)
        if self.wanted is None or (wanted.scene, wanted.show) != (self.wanted.scene, self.wanted.show):
            return False  # of another scene or show than is wanted by now
        self.picture = Picture(texels, wanted, *quality, seconds)
        return True


def _same(one: Wanted, other: Wanted) -> bool:
    return (one.scene, one.show) == (other.scene, other.show) and one.view.same_view(other.view)
