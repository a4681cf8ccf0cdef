# SPDX-License-Identifier: GPL-3.0-or-later
"""What commands say: progress and notes on stderr, results on stdout."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .job import Job


class ProgressLine:
    """A job's progress on stderr: one line that renews itself on a terminal, one line a stage elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self._quiet, self._stage, self._last = quiet, "", 0.0
        self._terminal = sys.stderr.isatty()

    def __call__(self, stage: str, fraction: float, text: str) -> None:
        if self._quiet:
            return
        if not self._terminal:
            if stage != self._stage:
                print(f"{stage} ...", file=sys.stderr, flush=True)
            self._stage = stage
        elif stage != self._stage or time.monotonic() - self._last > 0.1:
            self._stage, self._last = stage, time.monotonic()
            line = f"{stage}  {fraction:4.0%}  {text}"[: shutil.get_terminal_size().columns - 1]
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._terminal and self._stage and not self._quiet:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> Job:
        return Job(self)

    def __exit__(self, *_: object) -> None:
        self.clear()


def note(text: str) -> None:
    """A sentence for the person, beside the result."""
    print(f"splatonym: note: {text}", file=sys.stderr)


def say_result(out: Path, counts: dict[str, int], total: int, seconds: float) -> None:
    """What was made: how many Gaussians of which classes."""
    print(f"{out}: {total:,} Gaussians in {seconds:.1f} s")
    for name, count in sorted(counts.items(), key=lambda item: -item[1]):
        print(f"  {count:>10,}  {name}")


def say_rasterizer(described: Mapping[str, Any]) -> None:
    """What drew it, and why nothing better did."""
    print(f"drawn by {described['backend']} on {described['device']} ({described['version']})")
    for sentence in described["passed_over"]:
        print(f"  {sentence}")
