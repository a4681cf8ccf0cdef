# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panels know of the server's Python: looked up once, and again when something changed it. No file is touched while drawing."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

from ... import __version__
from .. import preferences
from . import builds, environments, steps
from .environments import Environment

_ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = _ROOT / "requirements"
CHECK = _ROOT / "server" / "fit.py"
SIZES = Path(__file__).with_name("sizes.json")


@dataclass(frozen=True)
class Status:
    """The server's Python, and whether it is there; the environment of the set-up, where it is that one's.

    outdated: the environment holds another version's packages.
    """

    interpreter: Path | None
    there: bool
    environment: Environment | None
    outdated: bool
    variable: str
    """What the environment variable said then."""


_status: Status | None = None
_made: Environment | None = None


def base() -> Path:
    """The user's folder for all that the set-up makes."""
    return preferences.user_folder("setup")


def log_path() -> Path:
    return base() / steps.LOG


@functools.cache
def wanted() -> str:
    """Which packages this version of the add-on wants."""
    return environments.fingerprint(REQUIREMENTS)


def made() -> Environment | None:
    """The environment that a set-up made, here or for another version of Blender. Searched for only until it is found."""
    global _made
    if _made is None or _made.requirements != wanted() or not (_made.folder / environments.STAMP).exists():
        _made = environments.find(base(), wanted())
    return _made


def status() -> Status:
    """What is known; looked up the first time, and after `refresh`."""
    global _status
    variable = os.environ.get(preferences.INTERPRETER_VARIABLE, "")
    if _status is None or _status.variable != variable:
        interpreter = preferences.find_interpreter()
        environment = made()
        if environment is not None and environment.interpreter != interpreter:
            environment = None  # it is there, but another Python goes before it
        outdated = environment is not None and environment.requirements != wanted()
        _status = Status(interpreter, _is_there(interpreter), environment, outdated, variable)
    return _status


def _is_there(path: Path | None) -> bool:
    """A path that the system refuses (too long, in a folder that may not be looked into) is not there; panels must be drawn all the same."""
    try:
        return path is not None and path.exists()
    except OSError:
        return False


def refresh() -> None:
    """Something changed; the next drawing looks anew."""
    global _status, _made
    _status = _made = None


def is_ready() -> bool:
    """Whether there is a Python for the server. Cheap: panels ask it whenever they are drawn."""
    return status().there


def plan(build: str = builds.AUTOMATIC, *, again: bool = False) -> steps.Plan:
    """What a set-up with this build of torch would do here; NotAvailable where torch is not built for this machine."""
    chosen = builds.choose(build, builds.machine(), builds.cuda_of_driver(), SIZES)
    return steps.Plan(base(), REQUIREMENTS, CHECK, __version__, chosen, again)
