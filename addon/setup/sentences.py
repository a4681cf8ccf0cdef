# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failed program means to a person: one sentence, what to do, and the button that does it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...core.errors import NotAvailable
from .builds import CPU, INDEX
from .processes import ProgramFailed

OFFER = "splatonym.setup_server"
_FULL = ("no space left", "os error 28", "disk quota", "not enough space", "errno 28")
_NETWORK = ("dns error", "error sending request", "client error (connect)", "connection refused", "timed out", "failed to fetch",
            "newconnectionerror", "failed to establish", "network is unreachable", "connection reset", "could not fetch url")  # fmt: skip
_NOT_FOR_THIS = ("no solution found", "no wheels with a matching", "no matching distribution")


def explain(error: ProgramFailed, log: Path, build: str = INDEX) -> NotAvailable:
    """The error of a set-up whose program failed."""
    text = error.text.lower()
    if any(word in text for word in _FULL):
        return NotAvailable(
            f"The disk of '{log.parent}' is full.",
            "Make room; what was downloaded stays, the next attempt goes on.",
            repair=OFFER,
        )
    if any(word in text for word in _NETWORK):
        hint = "Check the connection and try again: what was downloaded stays."
        if build != INDEX:
            where = "PyTorch's own package index" if build == CPU else f"PyTorch's own package index ({build})"
            hint = f"This build comes from {where}; check the connection, or choose the ordinary build."
        return NotAvailable(f"The packages could not be downloaded: {_last(error, 'cause:')}.", hint, repair=OFFER)
    if any(word in text for word in _NOT_FOR_THIS):
        return NotAvailable(
            f"The packages are not there for this system: {_last(error, 'cause:')}.",
            f"Point to a Python that has torch; the log is '{log}'.",
            repair=OFFER,
        )
    return NotAvailable(
        f"Setting the server up failed: {_last(error)} (exit code {error.code}).", f"The log is '{log}'.", repair=OFFER
    )


def not_fit(interpreter: Path, found: Mapping[str, Any], log: Path) -> NotAvailable:
    """The error of a Python in which the server cannot run."""
    lacks = ", ".join(found["lacks"])
    return NotAvailable(
        f"The server cannot run in '{interpreter}' (Python {found['python']}): it lacks {lacks}.",
        f"Set the server up, or install what is missing; the log is '{log}'.",
        repair=OFFER,
    )


def not_a_python(interpreter: Path, error: ProgramFailed, log: Path) -> NotAvailable:
    """The error of a file that is no Python that runs."""
    reason = f" ({_last(error)})" if error.code else ""
    return NotAvailable(
        f"'{interpreter}' is not a Python 3 that can be run{reason}.",
        f"Choose the file python of an environment with torch; the log is '{log}'.",
        repair=OFFER,
    )


def _last(error: ProgramFailed, mark: str = "") -> str:
    """The line that says most: the last one with the mark, else the last one."""
    lines = [line.strip() for line in error.lines if line.strip()] or [str(error)]
    marked = [line for line in lines if mark and mark in line]
    line = (marked or lines)[-1]
    return line.removeprefix("cause:").removeprefix("error:").strip().rstrip(".")[:300]
