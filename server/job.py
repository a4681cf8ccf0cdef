# SPDX-License-Identifier: GPL-3.0-or-later
"""What long work reports to and asks: progress, cancellation, and the time that each stage took."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..core.errors import Cancelled

ProgressSink = Callable[[str, float, str], None]


class Job:
    """One piece of work that a person waits for.

    Work calls `check` at least every 0.2 s or so, so that a cancel is honoured quickly, and `progress` whenever it knows more.
    """

    def __init__(self, sink: ProgressSink | None = None) -> None:
        self._sink = sink
        self._cancel = threading.Event()
        self._stage = ""
        self.timings: dict[str, float] = {}
        """Seconds spent in each finished stage, in order."""

    def cancel(self) -> None:
        """Ask the work to stop; may be called from any thread."""
        self._cancel.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody cancelled."""
        return self._cancel.is_set()

    def check(self) -> None:
        """Raise Cancelled if somebody cancelled."""
        if self._cancel.is_set():
            raise Cancelled()

    def progress(self, fraction: float, text: str = "") -> None:
        """Say how far the current stage is, 0..1; also checks for a cancel."""
        self.check()
        if self._sink is not None:
            self._sink(self._stage, min(max(fraction, 0.0), 1.0), text)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Name what is being done, and time it; stages do not nest."""
        self._stage = name
        self.progress(0.0)
        start = time.perf_counter()
        yield
        self.timings[name] = self.timings.get(name, 0.0) + time.perf_counter() - start
        self.progress(1.0)
