# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a job will still take, from how far its stage is and how long the later stages took the last time. No bpy.

A job is a row of stages, each with a fraction. Of the running stage the rest is elapsed * (1 - fraction) / fraction; stages that the last
job of the same kind had after it are taken to last as long as then. Before anything is known nothing is said.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_LEAST_FRACTION = 0.05
_LEAST_SECONDS = 0.5
"""Below these a stage has not told enough of itself; what it took the last time is the better guess."""


class Forecast:
    """The seconds left of one running job; remembers the stages of finished ones by kind for the session."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, dict[str, float]] = {}
        self._kind = ""
        self._stages: dict[str, float] = {}
        self._stage, self._since, self._fraction, self._said = "", 0.0, 0.0, ""

    def begin(self, kind: str) -> None:
        """A job begins; `kind` tells which earlier ones were like it."""
        self._kind, self._stages = kind, {}
        self._stage, self._since, self._fraction, self._said = "", self._clock(), 0.0, ""

    def tell(self, stage: str, fraction: float) -> bool:
        """The job is in this stage, so far; whether the sentence of `text` has changed since it was last told."""
        if stage != self._stage:
            self._close_stage()
            self._stage, self._since = stage, self._clock()
        self._fraction = fraction
        said, self._said = self._said, self.text()
        return said != self._said

    def end(self) -> None:
        """The job came to its end: its stages are remembered."""
        self._close_stage()
        self._known[self._kind] = dict(self._stages)

    def left(self) -> float | None:
        """Seconds; None where nothing is known."""
        elapsed, known = self._clock() - self._since, self._known.get(self._kind, {})
        if self._fraction >= _LEAST_FRACTION and elapsed >= _LEAST_SECONDS:
            rest = elapsed * (1 - self._fraction) / self._fraction
        elif self._stage in known:
            rest = max(known[self._stage] - elapsed, 0.0)
        else:
            return None
        return rest + sum(seconds for stage, seconds in known.items() if stage != self._stage and stage not in self._stages)

    def text(self) -> str:
        """ "12 s", "3 min"; "" where nothing is known. Steps get coarser with length, so that the number does not flicker."""
        seconds = self.left()
        if seconds is None:
            return ""
        if seconds < 10:
            return f"{max(1, round(seconds))} s"
        if seconds < 90:
            return f"{5 * round(seconds / 5)} s"
        return f"{round(seconds / 60)} min"

    def _close_stage(self) -> None:
        if self._stage:
            self._stages[self._stage] = self._stages.get(self._stage, 0.0) + self._clock() - self._since
