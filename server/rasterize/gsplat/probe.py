# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether gsplat works here, and if not, what is missing and how to repair it.

gsplat's package holds no compiled code: its first use runs nvcc and a C++ compiler for minutes. So it is tried in a process of its own
(trial.py), with progress and a time limit, and what comes of it is remembered for these versions, this GPU and these compilers. A
package that was built before needs no compiler and passes the same trial in seconds.

`known_obstacle` answers at once, from what is installed and remembered; `probe` tries.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from ....core.errors import InvalidFile
from ....core.files import read_json, write_json
from ...caches import user_cache
from ...job import Job
from ..choice import Obstacle

TIME_LIMIT = 900.0
"""Seconds that a trial may take. (Compiling has not been timed by us; gsplat says "a few minutes".)"""
GSPLAT = "gsplat==1.5.3"
USUAL_NVCC = Path("/usr/local/cuda/bin/nvcc")
AGAIN = "Then run 'splatonym doctor --again'."
UNTRIED = Obstacle(
    "it has not been tried on this machine",
    "Run 'splatonym doctor', or predict: gsplat is tried then, and may compile for some minutes.",
    untried=True,
)

_told: dict[str, Obstacle | None] = {}
"""Outcomes of this process's trials by their key, for machines whose cache folder cannot be written."""


def known_obstacle() -> Obstacle | None:
    """What stands against gsplat, as far as that is known without trying it; None where it has been seen to work."""
    missing = _missing()
    if missing is not None:
        return missing
    key = _key()
    return _told[json.dumps(key)] if json.dumps(key) in _told else _remembered(key)


def probe(job: Job, *, again: bool = False, limit: float = TIME_LIMIT) -> Obstacle | None:
    """The same, after a trial where there was none yet; again: whatever is remembered. A cancel ends the trial."""
    known = known_obstacle()
    if _missing() is not None or not (again or (known is not None and known.untried)):
        return known
    obstacle, lasting = try_out(job, limit)
    key = _key()
    _told[json.dumps(key)] = obstacle
    if lasting:
        _remember(key, obstacle)
    return obstacle


def versions() -> str:
    """For a report."""
    import torch

    return f"gsplat {_version_of('gsplat')}, torch {torch.__version__}"


# --- what can be told at once ---------------------------------------------------------------------------------------------------


def _missing() -> Obstacle | None:
    """What gsplat cannot do without."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return Obstacle(f"torch cannot be imported ({error})", f"Install it: {sys.executable} -m pip install torch")
    if torch.version.cuda is None:
        return Obstacle(
            "this torch is built without CUDA", "With an NVIDIA GPU, install a CUDA build: see https://pytorch.org/get-started."
        )
    if not torch.cuda.is_available():
        return Obstacle(
            "torch finds no NVIDIA GPU",
            "With one, install or update its driver: 'nvidia-smi' must list it, and torch's CUDA "
            f"{torch.version.cuda} must not be newer than the driver's.",
        )
    if importlib.util.find_spec("gsplat") is None:
        return Obstacle("gsplat is not installed", f"Install it: {sys.executable} -m pip install {GSPLAT}")
    return None


def _key() -> dict[str, str]:
    """What an outcome depends on; with a compiler installed later, for one, it is another."""
    import torch

    major, minor = torch.cuda.get_device_capability()
    return {
        "gsplat": _version_of("gsplat"),
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "",
        "gpu": f"{torch.cuda.get_device_name()}, {major}.{minor}",
        "python": f"{platform.python_version()} at {sys.prefix}",
        "nvcc": find_nvcc() or "",
        "compiler": _find_compiler() or "",
        "compiled": _compiled(),
    }


def _compiled() -> str:
    """What gsplat compiled before, as torch keeps it: without it the next start would compile again; "" where a wheel has it built in."""
    root = Path(os.environ.get("TORCH_EXTENSIONS_DIR") or Path.home() / ".cache" / "torch_extensions")
    found = sorted(path for path in root.glob("**/gsplat_cuda/gsplat_cuda.*") if path.suffix in (".so", ".pyd"))
    return ", ".join(f"{path}: {path.stat().st_mtime_ns}" for path in found)


def _version_of(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:  # a folder on the path
        return "unknown"


def find_nvcc() -> str | None:
    """The CUDA compiler, where torch looks for it: CUDA_HOME, the path, and where the toolkit's installer puts it."""
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH")]
    name = "nvcc.exe" if sys.platform == "win32" else "nvcc"
    places = [Path(home) / "bin" / name for home in homes if home]
    found = next((str(place) for place in places if place.is_file()), None) or shutil.which("nvcc")
    return found or (str(USUAL_NVCC) if USUAL_NVCC.is_file() else None)


def _find_compiler() -> str | None:
    names = [os.environ.get("CXX"), *(["cl"] if sys.platform == "win32" else ["c++", "g++", "clang++"])]
    return next((found for name in names if name and (found := shutil.which(name))), None)


# --- what is remembered ---------------------------------------------------------------------------------------------------------


def memory_file() -> Path:
    return user_cache() / "gsplat.json"


def _remembered(key: dict[str, str]) -> Obstacle | None:
    """What came of the last trial under the same conditions; a file that is missing, damaged or of other conditions says nothing."""
    try:
        match read_json(memory_file(), limit=1 << 16):
            case {"key": dict() as theirs, "works": True} if theirs == key:
                return None
            case {"key": dict() as theirs, "works": False, "reason": str() as reason, "repair": str() as repair} if (
                theirs == key
            ):
                return Obstacle(reason, repair)
    except InvalidFile:
        pass
    return UNTRIED


def _remember(key: dict[str, str], obstacle: Obstacle | None) -> None:
    said = {"reason": obstacle.reason, "repair": obstacle.repair} if obstacle is not None else {}
    try:
        memory_file().parent.mkdir(parents=True, exist_ok=True)
        write_json(memory_file(), {"key": key, "works": obstacle is None, **said})
    except (InvalidFile, OSError):  # the next process tries again, which costs time but is right
        pass


# --- the trial ------------------------------------------------------------------------------------------------------------------


def try_out(job: Job, limit: float = TIME_LIMIT, *, device: str = "cuda") -> tuple[Obstacle | None, bool]:
    """Run the trial: what it found, and whether that will be the same the next time. A cancel, or the limit, ends its processes."""
    asked = json.dumps({"path": sys.path, "device": device})
    command = [sys.executable, "-I", str(Path(__file__).with_name("trial.py")), asked]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        try:
            trial = subprocess.Popen(  # noqa: S603 - this Python and our own file, without a shell
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PATH": path_with_ninja()},
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            return Obstacle(f"its trial cannot be started ({error.strerror})", AGAIN), False
        in_time = False
        try:
            in_time = _wait(trial, job, limit)
        finally:
            if not in_time:
                _end_tree(trial)
            assert trial.stdin is not None
            trial.stdin.close()
        lines = _last_lines(output)
    return explain(lines, None if in_time else limit)


def path_with_ninja() -> str:
    """PATH with this environment's programs: gsplat compiles through ninja, which pip puts there, whether activated or not."""
    own, path = str(Path(sys.executable).parent), os.environ.get("PATH", "")
    return path if own in path.split(os.pathsep) else os.pathsep.join([own, path])


def _wait(trial: subprocess.Popen[Any], job: Job, limit: float) -> bool:
    """Until the trial ended (True) or its time is over (False)."""
    start = time.monotonic()
    while trial.poll() is None:
        seconds = time.monotonic() - start
        if seconds > limit:
            return False
        job.progress(seconds / limit, f"trying gsplat; the first time it compiles for some minutes ({seconds:.0f} s)")
        time.sleep(0.1)
    return True


def _end_tree(trial: subprocess.Popen[Any]) -> None:
    """End a process and all that descend from it. A stopped process starts no more, so that none is missed."""
    try:
        import psutil  # type: ignore[import-untyped]
    except ImportError:
        trial.kill()
        trial.wait()
        return

    def end(process: psutil.Process) -> None:
        try:
            process.suspend()
            children = process.children()
            process.kill()
        except psutil.NoSuchProcess:
            return
        for child in children:
            end(child)

    try:
        end(psutil.Process(trial.pid))
    except psutil.NoSuchProcess:
        pass
    trial.wait()


def _last_lines(output: IO[str]) -> list[str]:
    """The end of what the trial printed, without empty lines."""
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - (1 << 16)))
    return [line.strip() for line in output.read().splitlines() if line.strip()]


# --- what it means --------------------------------------------------------------------------------------------------------------


def explain(lines: list[str], limit: float | None) -> tuple[Obstacle | None, bool]:
    """A trial's last lines, and the time limit if that ended it -> what stands against gsplat, and whether it will again."""
    if limit is not None:
        repair = f"It may be compiling slowly: {AGAIN[5:-1]} while the machine is idle."
        return Obstacle(f"its trial took longer than {limit / 60:.0f} minutes", repair), True
    match _answer(lines):
        case {"works": True}:
            return None, True
        case {"works": False, "missing": str(missing), "problem": str(problem)}:
            if missing:
                return Obstacle(f"its package '{missing}' is missing", f"Install it: {_pip(missing)} {AGAIN}"), True
        case _:
            problem = lines[-1] if lines else "it said nothing"
    if "out of memory" in problem.lower():
        return Obstacle("the GPU had no memory left to try it", f"Close what else uses the GPU. {AGAIN}"), False
    if "ninja" in problem.lower() and ("required" in problem or "not found" in problem.lower()):
        return Obstacle("ninja, which it compiles with, is missing", f"Install it: {_pip('ninja')} {AGAIN}"), True
    return _toolchain(lines, problem) or Obstacle(f"its trial failed ({_short(problem)})", f"{_reinstall()} {AGAIN}"), True


def _toolchain(lines: list[str], problem: str) -> Obstacle | None:
    """The fault of the compilers, if there is one: they are looked at only after a failure, since a built package needs none."""
    import torch

    wanted = torch.version.cuda or "?"
    nvcc = find_nvcc()
    if nvcc is None:
        return Obstacle("the CUDA compiler nvcc is missing", f"Install the CUDA toolkit {wanted}. {AGAIN}")
    if _find_compiler() is None:
        name = "Visual Studio's C++ build tools" if sys.platform == "win32" else "g++"
        return Obstacle("there is no C++ compiler", f"Install {name}. {AGAIN}")
    release = nvcc_release(nvcc)
    if release is None:
        return Obstacle(f"'{nvcc}' does not run", f"Install the CUDA toolkit {wanted} again. {AGAIN}")
    if release.partition(".")[0] != wanted.partition(".")[0]:
        return Obstacle(f"nvcc is of CUDA {release}, torch of CUDA {wanted}", f"Install the CUDA toolkit {wanted}. {AGAIN}")
    fault = next((line for line in lines if re.search(r"[:)] *(fatal )?error\b", line)), "")  # what follows it is its echo
    if "building extension" in problem or "FAILED" in "".join(lines):
        return Obstacle(f"it does not compile ({_short(fault or problem)})", f"{_reinstall()} {AGAIN}")
    return None


def nvcc_release(nvcc: str) -> str | None:
    """The CUDA release of a compiler, "12.8"; None if it does not run."""
    try:
        run = subprocess.run([nvcc, "--version"], capture_output=True, text=True, timeout=20, check=True)  # noqa: S603 - nvcc
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"release (\d+\.\d+)", run.stdout)
    return found.group(1) if found else None


def _answer(lines: list[str]) -> Any:
    """The JSON on the trial's last line, or None."""
    try:
        return json.loads(lines[-1]) if lines else None
    except ValueError:
        return None


def _short(text: str) -> str:
    """The last line of a text, as a part of a sentence."""
    line = text.strip().splitlines()[-1].strip().rstrip(".") if text.strip() else "no message"
    return line if len(line) <= 200 else f"{line[:199]}…"


def _pip(package: str) -> str:
    return f"{sys.executable} -m pip install {package}."


def _reinstall() -> str:
    return f"Install it again ({sys.executable} -m pip install --force-reinstall --no-deps {GSPLAT}), or a wheel built for this torch."
