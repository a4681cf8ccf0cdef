# SPDX-License-Identifier: GPL-3.0-or-later
"""Setting the server up as steps: uv, a Python, the packages, a check. No bpy.

Everything lies in one folder of the user's: `tools/` (uv), `python/` (uv's Python), `cache/` (what was downloaded; a second attempt goes
on from there), `environments/` and `setup.log`. Nothing is installed into Blender's own Python. An environment counts only once its stamp is
written, at the very end; steps that are closed early end the program that runs and take the unfinished environment away.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import NotAvailable
from ..jobs import Step, in_thread
from . import builds, environments
from .environments import Environment
from .locking import locked
from .processes import ProgramFailed, run, write_log
from .sentences import OFFER, explain, not_fit

PYTHON = "3.11"
OTHER_PYTHON = ">=3.11,<3.14"
"""uv's own Python first; where it cannot be had, what the system has."""
LOG = "setup.log"
LOCK = "setup.lock"
_SIZE = re.compile(r"^\s*Downloading (\S+) \(([\d.]+)([KMG])iB\)")
_DONE = re.compile(r"^\s*Downloaded (\S+)")
_COUNT = re.compile(r"^\s*(?:Prepared|Installed) (\d+) packages?")
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True)
class Plan:
    """What is set up, and where.

    base: the user's folder for all of it. requirements: the folder with server.in, server.txt and uv.txt. check: what the finished
    environment's Python must run, and that tells whether it is fit (server/fit.py). again: download everything anew, whatever is there.
    """

    base: Path
    requirements: Path
    check: Path
    version: str
    build: builds.Build
    again: bool = False

    @property
    def log(self) -> Path:
        return self.base / LOG

    @property
    def folder(self) -> Path:
        """Where the environment will lie: beside one that is finished, which stays until the new one is."""
        usual = self.base / environments.FOLDER / f"{environments.fingerprint(self.requirements)}-{self.build.name}"
        return usual.with_name(f"{usual.name}-2") if (usual / environments.STAMP).exists() else usual

    def variables(self) -> dict[str, str]:
        """What uv is told beside its arguments. A mirror or proxy that the person has set stays in force."""
        return {
            "UV_CACHE_DIR": str(self.base / "cache"),
            "UV_PYTHON_INSTALL_DIR": str(self.base / "python"),
            "UV_NO_PROGRESS": "1",
            "NO_COLOR": "1",
        }


def set_up(plan: Plan) -> Generator[Step, None, Environment]:
    """All of it, from what is there already. What goes wrong is a NotAvailable that names what to do; the log has every word."""
    try:
        return (yield from _set_up(plan))
    except ProgramFailed as error:
        raise explain(error, plan.log, plan.build.name) from error
    except OSError as error:
        raise NotAvailable(f"'{plan.base}' cannot be written: {error.strerror}.", "Make room, or check its rights.") from error


def _set_up(plan: Plan) -> Generator[Step, None, Environment]:
    yield Step("Prepare", 0.0)
    _check_room(plan)
    with locked(plan.base / LOCK):
        write_log(plan.log, f"\n== {time.strftime('%Y-%m-%d %H:%M:%S')} Splatonym {plan.version}: {plan.build.name}")
        clear_rubbish(plan.base)
        folder, finished = plan.folder, False
        try:
            uv = yield from _uv(plan)
            python = yield from _python(plan, uv)
            yield from _packages(plan, folder, uv, python)
            found = yield from check(environments.interpreter_of(folder), plan.check, plan.log)
            if not found["fit"]:
                raise not_fit(environments.interpreter_of(folder), found, plan.log)
            wanted = environments.fingerprint(plan.requirements)
            made = Environment(folder, plan.version, wanted, plan.build.name, found["python"])
            environments.stamp(made)
            finished = True
        finally:
            if not finished:
                discard(folder)
        for other in sorted((plan.base / environments.FOLDER).iterdir()):
            if other != folder:
                discard(other)
        write_log(plan.log, "== ready")
    return made


def check(interpreter: Path, script: Path, log: Path) -> Generator[Step, None, dict[str, Any]]:
    """Have a Python say whether the server can run in it; one that cannot be run, or says nothing, raises ProgramFailed."""

    def read(line: str, step: Step) -> Step:
        told = _json(line)
        return Step("Check", float(told["fraction"]), str(told.get("text") or told["stage"])) if "stage" in told else step

    lines = yield from run([interpreter, "-I", script], log, Step("Check", 0.0, "loads torch"), read=read)
    for line in reversed(lines):
        if "fit" in (told := _json(line)):
            return told
    raise ProgramFailed([str(interpreter)], 0, lines)


def _json(line: str) -> dict[str, Any]:
    """A line's JSON object; {} for every other line."""
    try:
        told = json.loads(line) if line.startswith("{") else {}
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _check_room(plan: Plan) -> None:
    """Refuse early what cannot fit onto the disk."""
    plan.base.mkdir(parents=True, exist_ok=True)
    needed, free = plan.build.installed or plan.build.download, shutil.disk_usage(plan.base).free
    there = (plan.base / "cache").exists()  # an earlier attempt got so far; it goes on, and a full disk is said then
    if needed is not None and free < needed and not there:
        raise NotAvailable(
            f"The disk of '{plan.base}' has {builds.human(free)} free; the server's packages take {builds.human(needed)}.",
            "Make room, or choose a smaller build of torch.",
            repair=OFFER,
        )


def _uv(plan: Plan) -> Generator[Step, None, Path]:
    """uv: the one on PATH if it is new enough, else one of our own, installed by whatever Python here has pip."""
    wanted = (plan.requirements / "uv.txt").read_text(encoding="utf-8").strip()
    version, step = wanted.partition("==")[2], Step("uv", 0.0)
    on_path = shutil.which("uv")
    if on_path:
        try:
            said = yield from run([on_path, "--version"], plan.log, step)
        except ProgramFailed:
            said = []
        if _numbers(" ".join(said)) >= _numbers(version):
            return Path(on_path)
    folder = plan.base / "tools" / f"uv-{version}"
    binary = folder / "bin" / ("uv.exe" if os.name == "nt" else "uv")
    if binary.exists() and not plan.again:
        return binary
    pip = yield from _pip(plan)
    beside = folder.with_name(folder.name + ".part")
    _remove(beside)
    step = Step("uv", 0.3, version)
    yield from run([*pip, "install", "--no-input", "--target", beside, wanted], plan.log, step, {"PIP_NO_COLOR": "1"})
    _remove(folder)
    beside.rename(folder)
    return binary


def _pip(plan: Plan) -> Generator[Step, None, list[str | Path]]:
    """The command of a pip that can install into a folder. Blender's Python may lend its own, or make an environment that has one."""
    pythons = [sys.executable, *filter(None, (shutil.which(name) for name in ("python3", "python", "py")))]
    folder = plan.base / "tools" / "pip"
    for python in dict.fromkeys(pythons):
        for command in ([python, "-m", "pip"], None):
            try:
                if command is None:
                    yield from run([python, "-m", "venv", "--clear", folder], plan.log, Step("uv", 0.1, "pip"))
                    command = [str(environments.interpreter_of(folder)), "-m", "pip"]
                yield from run([*command, "--version"], plan.log, Step("uv", 0.2, "pip"))
                return list(command)
            except ProgramFailed:  # no pip, no ensurepip, not a Python: the log says which; the next may
                continue
    raise NotAvailable(
        "uv, which brings Python and the packages, cannot be installed: no Python here has pip.",
        "Install uv (on Debian: apt-get install python3-venv), or point to a Python that has torch.",
        repair=OFFER,
    )


def _numbers(text: str) -> tuple[int, ...]:
    """The first version number in a text."""
    found = re.search(r"\d+(\.\d+)+", text)
    return tuple(int(number) for number in found.group().split(".")) if found else ()


def _python(plan: Plan, uv: Path) -> Generator[Step, None, Path]:
    """A Python for the environment: uv's own, downloaded if need be, else one that the system has."""
    step, variables = Step("Python", 0.0, PYTHON), plan.variables()
    find = [uv, "python", "find", "--no-project", "--system", "--no-python-downloads"]
    attempts: list[tuple[list[str | Path], bool]] = [
        ([*find, "--managed-python", PYTHON], True),
        ([uv, "python", "install", "--no-bin", PYTHON], False),
        ([*find, "--managed-python", PYTHON], True),
        ([*find, "--no-managed-python", PYTHON], True),
        ([*find, "--no-managed-python", OTHER_PYTHON], True),
    ]
    failed: list[str] = []
    for command, finds in attempts:
        try:
            lines = yield from run(command, plan.log, step, variables)
        except ProgramFailed as error:
            failed += [] if finds else error.lines
            continue
        paths = [Path(line.strip()) for line in lines if finds and Path(line.strip()).is_file()]
        if paths:
            return paths[-1]
    reason = next((line.strip().removeprefix("cause: ") for line in reversed(failed) if line.strip()), "nothing was found")
    raise NotAvailable(
        f"No Python {PYTHON} could be had: {reason}.",
        f"Check the connection, or install Python {PYTHON}; the log is '{plan.log}'.",
        repair=OFFER,
    )


def _packages(plan: Plan, folder: Path, uv: Path, python: Path) -> Generator[Step, None, None]:
    """The pinned packages into a fresh environment. What an earlier attempt had downloaded is in the cache."""
    yield from in_thread(lambda: _remove(folder), Step("Packages", 0.0, "making room"))
    step, variables = Step("Packages", 0.0), plan.variables()
    yield from run([uv, "venv", "--no-project", "--python", python, folder], plan.log, step, variables)
    pinned = plan.base / "constraints.txt"
    text = (plan.requirements / "server.txt").read_text(encoding="utf-8")
    pinned.write_text(builds.constraints(text, plan.build.name), encoding="utf-8")
    interpreter = environments.interpreter_of(folder)
    command: list[str | Path] = [uv, "pip", "install", "--python", interpreter, "-c", pinned]
    command += ["-r", plan.requirements / "server.in"]
    if plan.build.name != builds.INDEX:
        command += ["--torch-backend", plan.build.name]
    if plan.again:
        command += ["--reinstall"]
    told = Downloads(plan.build, plan.base)
    try:
        yield from run(command, plan.log, step, variables, read=told.read, look=told.look)
    except ProgramFailed as error:
        if "peer certificate" not in error.text:
            raise
        # Behind a company's proxy: the system may know its certificate where uv's own list does not.
        yield from run(command, plan.log, step, {**variables, "UV_SYSTEM_CERTS": "1"}, read=told.read, look=told.look)


class Downloads:
    """How far uv is. It prints each large file when it begins and when it is there; between these the disk fills."""

    def __init__(self, build: builds.Build, base: Path) -> None:
        self._build, self._base = build, base
        self._free = shutil.disk_usage(base).free
        self._sizes: dict[str, float] = {}
        self._done: set[str] = set()
        self._there, self._installing = 0.0, False

    def read(self, line: str, step: Step) -> Step:
        """The step after a line of uv's."""
        if found := _SIZE.match(line):
            self._sizes[found[1]] = float(found[2]) * _UNITS[found[3]]
        elif found := _DONE.match(line):
            self._done.add(found[1])
        elif found := _COUNT.match(line):
            self._installing = True
            return Step("Packages", 0.95, f"{found[1]} packages")
        return step

    def look(self, step: Step) -> Step:
        """The step while uv says nothing: where it is known what the packages take on the disk, the disk tells how much is there."""
        if self._installing or not self._sizes:
            return step
        total = max(self._build.download or 0, sum(self._sizes.values()))
        there = sum(self._sizes.get(name, 0.0) for name in self._done)
        if self._build.installed:
            filled = (self._free - shutil.disk_usage(self._base).free) / self._build.installed
            there = max(there, min(filled, 1.0) * total)
        self._there = max(self._there, there)
        coming = sorted((name for name in self._sizes if name not in self._done), key=lambda name: -self._sizes[name])
        text = f"{builds.human(int(self._there))} / {builds.human(int(total))}  {', '.join(coming[:2])}".rstrip()
        return Step("Packages", min(0.9 * self._there / total, 0.9), text)


def remove(base: Path) -> int:
    """Delete all that set-ups made in a folder; the bytes that this frees. What is half removed is no environment any more."""
    with locked(base / LOCK):
        for stamp in (base / environments.FOLDER).glob(f"*/{environments.STAMP}"):
            stamp.unlink()
        before = shutil.disk_usage(base).free
        for path in base.iterdir():
            if path.is_dir():
                _remove(path)
            elif path.name != LOCK:
                path.unlink(missing_ok=True)
        return max(0, shutil.disk_usage(base).free - before)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def discard(folder: Path) -> None:
    """Take a folder out of the way at once; its files go in a thread, or with the next set-up."""
    if not folder.exists():
        return
    rubbish = folder.with_name(f".rubbish-{os.getpid()}-{time.monotonic_ns()}")
    try:
        folder.rename(rubbish)
    except OSError:  # in use, on Windows: its stamp at least must go
        (folder / environments.STAMP).unlink(missing_ok=True)
        return
    threading.Thread(target=_remove, args=(rubbish,), name="splatonym rubbish", daemon=True).start()


def clear_rubbish(base: Path) -> None:
    """What earlier attempts could not take away any more."""
    for place in (base, base / environments.FOLDER):
        for folder in place.glob(".rubbish-*"):
            threading.Thread(target=_remove, args=(folder,), name="splatonym rubbish", daemon=True).start()
