# SPDX-License-Identifier: GPL-3.0-or-later
"""The trial of gsplat in a process of its own: on this machine, and with packages and compilers that fail in every way they can."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
from splatonym.core.errors import Cancelled, NotAvailable
from splatonym.server.job import Job
from splatonym.server.rasterize import choice
from splatonym.server.rasterize.choice import Obstacle
from splatonym.server.rasterize.gsplat import probe
from splatonym.server.rasterize.gsplat.backend import Gsplat

ROOT = Path(__file__).resolve().parents[2]
HANGS = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=NEW)
open(PATH + ".part", "w").write(f"{os.getpid()} {child.pid}")
os.rename(PATH + ".part", PATH)
time.sleep(600)
"""
DRAWS = """
import torch
def rasterization(means, quats, scales, opacities, colors, viewmats, Ks, width, height, render_mode):
    print("printed by a package")
    picture = torch.zeros(1, height, width, 4)
    picture[0, 16, 16] = torch.cat([opacities * colors[0], torch.tensor([DEPTH])])
    return picture, torch.zeros(1, height, width, 1), {}
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    monkeypatch.setattr(probe, "_told", {})


def fake_package(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    (folder / "fake" / "gsplat").mkdir(parents=True)
    (folder / "fake" / "gsplat" / "__init__.py").write_text(source)
    monkeypatch.syspath_prepend(folder / "fake")


def fake_tools(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """A path with these programs alone."""
    (folder / "bin").mkdir()
    for name, script in scripts.items():
        program = folder / "bin" / name.replace("xx", "++")
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder / "bin"))
    for variable in ("CUDA_HOME", "CUDA_PATH", "CXX"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(probe, "USUAL_NVCC", folder / "no such nvcc")


def try_out(**options: object) -> Obstacle | None:
    return probe.try_out(Job(), device="cpu", **options)[0]  # type: ignore[arg-type]


def gone(*numbers: int) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if not any(psutil.pid_exists(n) and psutil.Process(n).status() != psutil.STATUS_ZOMBIE for n in numbers):
            return True
        time.sleep(0.05)
    return False


# --- before any trial ---


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_machine_without_a_gpu_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)  # no process is started
    found = probe.probe(Job())
    assert found == probe.known_obstacle() and found is not None and not found.untried
    assert found.reason == ("this torch is built without CUDA" if torch.version.cuda is None else "torch finds no NVIDIA GPU")
    with pytest.raises(NotAvailable, match="gsplat' cannot be used: "):
        Gsplat("cpu").ready(Job())
    monkeypatch.setattr(torch.version, "cuda", None)
    without = probe.known_obstacle()
    assert without is not None and "built without CUDA" in without.reason and "pytorch.org" in without.repair


# --- trials ---


def test_a_package_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_package(tmp_path, monkeypatch, DRAWS.replace("DEPTH", "2.0"))
    said: list[str] = []
    assert probe.try_out(Job(lambda stage, fraction, text: said.append(text)), device="cpu") == (None, True)
    assert said and "compiles" in said[0]


def test_a_package_that_draws_nonsense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_package(tmp_path, monkeypatch, DRAWS.replace("DEPTH", "3.0"))
    found = try_out()
    assert found is not None and "wrong picture" in found.reason


@pytest.mark.parametrize(
    ("source", "tools", "reason", "repair"),
    [
        ("import no_such_module", {}, "its package 'no_such_module' is missing", "pip install no_such_module"),
        ("raise RuntimeError('Ninja is required to load C++ extensions')", {}, "ninja, which it compiles with", "ninja"),
        ("raise RuntimeError('CUDA out of memory. Tried')", {}, "the GPU had no memory left", "--again"),
        ("_C = None", {}, "the CUDA compiler nvcc is missing", "Install the CUDA toolkit"),
        ("_C = None", {"nvcc": "echo release {cuda}"}, "there is no C++ compiler", "Install g++"),
        ("_C = None", {"nvcc": "exit 1", "gxx": ""}, "nvcc' does not run", "toolkit"),
        ("_C = None", {"nvcc": "echo Cuda, release 7.5, V7.5", "gxx": ""}, "nvcc is of CUDA 7.5, torch of CUDA", "toolkit"),
        (
            "print('[2/9] nvcc', 'Rasterize.cu(7): error: expected a \";\"', sep='\\n'); "
            "raise RuntimeError(\"Error building extension 'gsplat_cuda'\")",
            {"nvcc": "echo release {cuda}", "gxx": ""},
            'it does not compile (Rasterize.cu(7): error: expected a ";")',
            "a wheel built for this torch",
        ),
        ("raise OSError('libcudart.so.12: not found')", {"nvcc": "echo release {cuda}", "gxx": ""}, "libcudart", "Install it again"),
        ("import os; print('garbage'); os._exit(3)", {"nvcc": "echo release {cuda}", "gxx": ""}, "(garbage)", "again"),
        ("import os; os.write(1, b'{\"works\": 3}\\n'); os._exit(0)", {"nvcc": "echo release {cuda}", "gxx": ""}, "works", "again"),
        ("import os; os.abort()", {"nvcc": "echo release {cuda}", "gxx": ""}, "it said nothing", "again"),
    ],
)  # fmt: skip
@pytest.mark.skipif(sys.platform == "win32", reason="the fake compilers are shell scripts")
def test_what_is_missing_or_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, tools: dict[str, str], reason: str, repair: str
) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    fake_package(tmp_path, monkeypatch, source)
    fake_tools(tmp_path, monkeypatch, **{name: script.replace("{cuda}", "13.0") for name, script in tools.items()})
    found = try_out()
    assert found is not None and not found.untried
    assert reason in found.reason and "\n" not in found.reason and len(found.reason) < 300
    assert repair in found.repair and found.repair.endswith(".")


def test_a_trial_that_hangs_is_ended_with_all_its_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = tmp_path / "numbers"
    fake_package(tmp_path, monkeypatch, HANGS.replace("PATH", repr(str(numbers))).replace("NEW", "True"))
    job = Job()
    cancelled: list[float] = []

    def cancel() -> None:
        while not numbers.exists():
            time.sleep(0.05)
        cancelled.append(time.monotonic())
        job.cancel()

    threading.Thread(target=cancel, daemon=True).start()
    with pytest.raises(Cancelled):
        probe.try_out(job, device="cpu")
    assert time.monotonic() - cancelled[0] < 2
    assert gone(*map(int, numbers.read_text().split()))

    found = try_out(limit=0.3)
    assert found is not None and "longer than" in found.reason and "--again" in found.repair


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
def test_a_trial_ends_with_the_process_that_began_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = tmp_path / "numbers"
    fake_package(tmp_path, monkeypatch, HANGS.replace("PATH", repr(str(numbers))).replace("NEW", "False"))
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from splatonym.server.rasterize.gsplat.probe import try_out\n"
        "from splatonym.server.job import Job\n"
        "try_out(Job())"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    while not numbers.exists():
        assert parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    assert gone(*map(int, numbers.read_text().split()))


# --- memory ---


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Obstacle | None, bool]]:
    """As if there were a GPU; what the next trials will find, the last of them first."""
    outcomes: list[tuple[Obstacle | None, bool]] = []
    monkeypatch.setattr(probe, "_missing", lambda: None)
    monkeypatch.setattr(probe, "_key", lambda: {"gsplat": "1.5.3", "gpu": "a GPU"})
    monkeypatch.setattr(probe, "try_out", lambda job, limit: outcomes.pop())
    return outcomes


def forget_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_told", {})


@pytest.mark.parametrize("outcome", [None, Obstacle("nvcc is missing", "Install it.")])
def test_an_outcome_is_remembered(
    monkeypatch: pytest.MonkeyPatch, trials: list[tuple[Obstacle | None, bool]], outcome: Obstacle | None
) -> None:
    assert probe.known_obstacle() == probe.UNTRIED
    trials.append((outcome, True))
    assert probe.probe(Job()) == outcome  # and no other trial follows:
    forget_process(monkeypatch)
    assert probe.known_obstacle() == outcome and probe.probe(Job()) == outcome
    trials.append((None, True))
    assert probe.probe(Job(), again=True) is None and probe.known_obstacle() is None
    monkeypatch.setattr(probe, "_key", lambda: {"gsplat": "1.5.4", "gpu": "a GPU"})
    assert probe.known_obstacle() == probe.UNTRIED


def test_what_passes_is_not_written_down(monkeypatch: pytest.MonkeyPatch, trials: list[tuple[Obstacle | None, bool]]) -> None:
    full = Obstacle("the GPU had no memory left", "Close something.")
    trials.append((full, False))
    assert probe.probe(Job()) == full and probe.known_obstacle() == full
    forget_process(monkeypatch)
    assert probe.known_obstacle() == probe.UNTRIED


@pytest.mark.parametrize(
    "content",
    ["", "{", "[1]", '{"key": 3}', '{"key": {"gsplat": "1.5.3", "gpu": "a GPU"}, "works": "yes"}', "\xff", '{"works": true}'],
)
def test_a_damaged_memory_says_nothing(content: str, trials: list[tuple[Obstacle | None, bool]]) -> None:
    probe.memory_file().parent.mkdir(parents=True)
    probe.memory_file().write_bytes(content.encode("latin-1"))
    assert probe.known_obstacle() == probe.UNTRIED
    trials.append((None, True))
    assert probe.probe(Job()) is None
    assert json.loads(probe.memory_file().read_text())["works"] is True


def test_a_cache_that_cannot_be_written_costs_only_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trials: list[tuple[Obstacle | None, bool]]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "file"))
    trials.append((None, True))
    assert probe.probe(Job()) is None and probe.known_obstacle() is None


# --- and the choice ---


def test_automatic_tries_gsplat_with_progress_and_goes_on_without(
    monkeypatch: pytest.MonkeyPatch, trials: list[tuple[Obstacle | None, bool]]
) -> None:
    monkeypatch.setattr(choice, "_configured", None)
    monkeypatch.delenv(choice.NAME_VARIABLE, raising=False)
    before = choice.choose()
    assert before.name != "gsplat" and "gsplat is not used: it has not been tried on this machine." in choice.passed_over(
        before
    )
    trials.append((Obstacle("nvcc is missing", "Install it."), True))
    stages: list[str] = []
    after = choice.ready(Job(lambda stage, fraction, text: stages.append(stage)))
    assert after.name == before.name and "prepare the rasterizer" in stages and not trials
    assert "gsplat is not used: nvcc is missing." in choice.describe(after)["passed_over"]
    with pytest.raises(NotAvailable, match="'gsplat' cannot be used: nvcc is missing") as raised:
        choice.choose("gsplat")
    assert raised.value.hint == "Install it."


def test_automatic_takes_gsplat_once_it_worked(
    monkeypatch: pytest.MonkeyPatch, trials: list[tuple[Obstacle | None, bool]]
) -> None:
    monkeypatch.setattr(choice, "_configured", None)
    monkeypatch.setattr(choice, "_built", {})
    monkeypatch.delenv(choice.NAME_VARIABLE, raising=False)
    monkeypatch.setattr(Gsplat, "ready", lambda self, job: None)
    trials.append((None, True))
    assert choice.ready(Job()).name == "gsplat" and choice.choose().name == "gsplat"
    assert choice.passed_over(choice.choose()) == []


def test_ninja_of_the_environment_is_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/somewhere")
    assert probe.path_with_ninja().split(os.pathsep) == [str(Path(sys.executable).parent), "/somewhere"]
    monkeypatch.setenv("PATH", probe.path_with_ninja())
    assert probe.path_with_ninja() == os.environ["PATH"]
