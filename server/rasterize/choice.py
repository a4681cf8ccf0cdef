# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rasterizer draws: the best that works here, or the one that the person asked for; and what was passed over, and why.

    configure(RasterizerChoice(name="cpu", threads=4))   # once, where the process starts
    backend = ready(job)                                 # at the head of long work: tries, compiles and loads, with progress
    report |= describe(backend)

`choose` answers at once and never compiles: a rasterizer that nobody has tried yet on this machine is passed over, which `describe`
says. `ready` tries it. A rasterizer owns threads, memory and compiled kernels, so the process keeps one of each kind and setting.

Nothing heavy is imported before it is asked for: the server's command line reads this file before it knows that there is numpy.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import InvalidInput, NotAvailable
from ..job import Job

if TYPE_CHECKING:
    from .contract import Backend

BACKENDS = ("gsplat", "cpu", "reference")
"""The best first."""
AUTO = "auto"
NAME_VARIABLE = "SPLATONYM_RASTERIZER"
THREADS_VARIABLE = "SPLATONYM_THREADS"


@dataclass(frozen=True)
class RasterizerChoice:
    """name: one of BACKENDS, or "auto" for the best that works.
    threads: of the CPU backend; 0 for one a physical core.
    deterministic: the CPU backend adds in the same order every time; without it, a thread that is held up leaves more to the others.
    beside_blender: Blender works on the same cores, so one of them is left to it.
    """

    name: str = AUTO
    threads: int = 0
    deterministic: bool = True
    beside_blender: bool = False

    def thread_count(self) -> int:
        """The threads that the CPU backend gets, at least 1."""
        return self.threads or max(1, physical_cores() - self.beside_blender)


@dataclass(frozen=True)
class Obstacle:
    """Why a rasterizer cannot be used: a clause that ends a sentence, and the sentence that repairs it.

    untried: nothing speaks against it but that it has to be tried first, which takes minutes.
    """

    reason: str
    repair: str
    untried: bool = False


def physical_cores() -> int:
    """Cores that this process may run on, hyperthreads not counted."""
    try:
        import psutil  # type: ignore[import-untyped]
    except ImportError:
        cores = os.cpu_count()
    else:
        cores = psutil.cpu_count(logical=False) or psutil.cpu_count()
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return max(1, min(cores or 1, allowed or 1))


# --- settings of the process --------------------------------------------------------------------------------------------------

_configured: RasterizerChoice | None = None


def configure(choice: RasterizerChoice) -> None:
    """Say how this process chooses; for its start, before anything is drawn."""
    global _configured
    _configured = choice


def configured() -> RasterizerChoice:
    """How this process chooses: as configured, else as its environment says."""
    return _configured if _configured is not None else from_environment(os.environ)


def from_environment(variables: Mapping[str, str]) -> RasterizerChoice:
    """SPLATONYM_RASTERIZER and SPLATONYM_THREADS; what is not set, or empty, is automatic."""
    threads = variables.get(THREADS_VARIABLE) or "0"
    if not (threads.isascii() and threads.isdigit()):
        raise InvalidInput(
            f"{THREADS_VARIABLE} is '{threads}'.", "Set it to a number of threads, or to 0 for an automatic one."
        )
    return RasterizerChoice((variables.get(NAME_VARIABLE) or AUTO).lower(), int(threads))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line's `--rasterizer`, `--threads` and `--no-deterministic`."""
    options = parser.add_argument_group("rasterizer")
    options.add_argument(
        "--rasterizer",
        choices=(AUTO, *BACKENDS),
        help=f"what draws (default: {NAME_VARIABLE}, else {AUTO}: the best that works)",
    )
    options.add_argument(
        "--threads",
        type=_thread_number,
        metavar="N",
        help=f"of the CPU rasterizer (default: {THREADS_VARIABLE}, else 0: a core each)",
    )
    options.add_argument(
        "--deterministic",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether the CPU rasterizer gives the same bits every time (default: yes; no may be quicker beside other work)",
    )


def from_arguments(arguments: argparse.Namespace, *, beside_blender: bool = False) -> RasterizerChoice:
    """What the command line says, and the environment where it says nothing."""
    said = from_environment(os.environ)
    threads = said.threads if arguments.threads is None else arguments.threads
    return RasterizerChoice(arguments.rasterizer or said.name, threads, arguments.deterministic, beside_blender)


def _thread_number(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


# --- the choice ---------------------------------------------------------------------------------------------------------------

_built: dict[tuple[object, ...], Backend] = {}


def choose(name: str | None = None) -> Backend:
    """The rasterizer of that name, or what the process is configured for; "auto" is the best that is known to work.

    At once: nothing is compiled. One that cannot be used here raises NotAvailable.
    """
    wanted = name or configured().name
    if wanted == AUTO:
        wanted = next((each for each in BACKENDS if obstacle(each) is None), BACKENDS[-1])
    if wanted not in BACKENDS:
        raise NotAvailable(f"There is no rasterizer '{wanted}'.", f"Rasterizers: {', '.join((AUTO, *BACKENDS))}.")
    found = obstacle(wanted)
    if found is not None and not found.untried:
        raise NotAvailable(f"The rasterizer '{wanted}' cannot be used: {found.reason}.", found.repair)
    return _backend(wanted, configured())


def ready(job: Job, name: str | None = None) -> Backend:
    """As `choose`, after everything that its first use needs: trial, compilation, loading, as a stage of its own."""
    with job.stage("prepare the rasterizer"):
        if (name or configured().name) == AUTO:
            for each in BACKENDS:
                try_out(each, job)
        backend = choose(name)
        backend.ready(job)
    return backend


def obstacle(name: str) -> Obstacle | None:
    """Why a rasterizer cannot be used, as far as can be told at once; None if it can."""
    match name:
        case "gsplat":
            from .gsplat.probe import known_obstacle

            return known_obstacle()
        case "cpu":
            return _cpu_obstacle()
    return None if importlib.util.find_spec("torch") else Obstacle("torch is not installed", _install("torch"))


def try_out(name: str, job: Job, *, again: bool = False) -> Obstacle | None:
    """As `obstacle`, after a trial where it needs one; what comes of it is remembered. again: whatever is remembered."""
    if name == "gsplat":
        from .gsplat.probe import probe

        return probe(job, again=again)
    return obstacle(name)


def passed_over(backend: Backend) -> list[str]:
    """A sentence for each better rasterizer that is not the one in use."""
    sentences = []
    for name in BACKENDS[: BACKENDS.index(backend.name)] if backend.name in BACKENDS else ():
        found = obstacle(name)
        sentences.append(f"{name} is not used: {found.reason if found else f'{backend.name} was asked for'}.")
    return sentences


def describe(backend: Backend) -> dict[str, Any]:
    """What a report says about the rasterizer that was used; its device is not always torch's."""
    return {
        "backend": backend.name,
        "device": backend.device,
        "version": backend.version,
        "passed_over": passed_over(backend),
    }


def _cpu_obstacle() -> Obstacle | None:
    if importlib.util.find_spec("numba") is None:
        return Obstacle("numba is not installed", _install("numba"))
    try:
        from .cpu import Cpu  # noqa: F401 - whether it can be had
    except Exception as error:  # noqa: BLE001 - numba raises errors of its own where numpy, llvmlite or Python do not fit
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        return Obstacle(f"it cannot be loaded ({reason})", _install("--force-reinstall numba"))
    return None


def _backend(name: str, choice: RasterizerChoice) -> Backend:
    """The process's one backend of this name and setting."""
    threads, deterministic = (choice.thread_count(), choice.deterministic) if name == "cpu" else (0, False)
    key = (name, threads, deterministic)
    if key not in _built:
        _built[key] = _build(name, threads, deterministic)
    return _built[key]


def _build(name: str, threads: int, deterministic: bool) -> Backend:
    match name:
        case "gsplat":
            from .gsplat.backend import Gsplat

            return Gsplat()
        case "cpu":
            from .cpu import Cpu

            return Cpu(threads=threads, deterministic=deterministic)
    from .reference import Reference

    return Reference()


def _install(package: str) -> str:
    return f"Install it: {sys.executable} -m pip install {package}"
