# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rasterizer is taken: by capability, by setting, and what the report says about it."""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from splatonym.core.errors import InvalidInput, NotAvailable
from splatonym.server import pipeline
from splatonym.server.job import Job
from splatonym.server.rasterize import choice
from splatonym.server.rasterize.choice import Obstacle, RasterizerChoice

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_configured", None)
    monkeypatch.setattr(choice, "_built", {})
    for variable in (choice.NAME_VARIABLE, choice.THREADS_VARIABLE):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def only_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = {"gsplat": "this torch is built without CUDA", "cpu": "numba is not installed"}
    monkeypatch.setattr(choice, "obstacle", lambda name: Obstacle(reasons[name], "Install it.") if name in reasons else None)


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    choice.add_arguments(parser)
    return parser.parse_args(words)


def test_the_best_that_works_and_why_not_a_better_one(only_reference: None) -> None:
    for backend in (choice.choose(), choice.choose("auto"), choice.ready(Job())):
        assert backend.name == "reference"
    assert choice.describe(backend) == {
        "backend": "reference",
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "version": f"torch {torch.__version__}",
        "passed_over": [
            "gsplat is not used: this torch is built without CUDA.",
            "cpu is not used: numba is not installed.",
        ],
    }


def test_one_that_was_asked_for(only_reference: None) -> None:
    assert choice.choose("reference").name == "reference"
    with pytest.raises(NotAvailable) as raised:
        choice.choose("cpu")
    assert raised.value.sentence() == "The rasterizer 'cpu' cannot be used: numba is not installed. Install it."
    with pytest.raises(NotAvailable, match="no rasterizer 'vulkan'") as raised:
        choice.ready(Job(), "vulkan")
    assert "auto, gsplat, cpu, reference" in raised.value.hint


def test_a_better_one_that_was_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "obstacle", lambda name: None)
    choice.configure(RasterizerChoice("reference"))
    assert choice.passed_over(choice.choose()) == [
        "gsplat is not used: reference was asked for.",
        "cpu is not used: reference was asked for.",
    ]


def test_no_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, package=None: None if name == "numba" else honest(name, package)
    )
    found = choice.obstacle("cpu")
    assert found == Obstacle("numba is not installed", f"Install it: {sys.executable} -m pip install numba")


def test_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choice.configured() == RasterizerChoice()
    monkeypatch.setenv(choice.NAME_VARIABLE, "Reference")
    monkeypatch.setenv(choice.THREADS_VARIABLE, "3")
    assert choice.configured() == RasterizerChoice("reference", 3) and choice.choose().name == "reference"
    assert choice.from_arguments(parsed()) == RasterizerChoice("reference", 3)
    assert choice.from_arguments(parsed("--rasterizer", "auto", "--threads", "0", "--no-deterministic")) == RasterizerChoice(
        "auto", 0, False
    )
    for nonsense in ("-1", "many", "1.5", "²"):
        monkeypatch.setenv(choice.THREADS_VARIABLE, nonsense)
        with pytest.raises(InvalidInput, match="SPLATONYM_THREADS"):
            choice.configured()


@pytest.mark.parametrize("words", [["--threads", "-1"], ["--threads", "x"], ["--rasterizer", "vulkan"]])
def test_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(*words)
    assert words[0] in capsys.readouterr().err


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "physical_cores", lambda: 6)
    assert RasterizerChoice().thread_count() == 6
    assert RasterizerChoice(beside_blender=True).thread_count() == 5
    assert RasterizerChoice(threads=8, beside_blender=True).thread_count() == 8
    monkeypatch.setattr(choice, "physical_cores", lambda: 1)
    assert RasterizerChoice(beside_blender=True).thread_count() == 1


@pytest.mark.skipif(sys.platform != "linux", reason="affinity")
def test_cores_that_this_process_may_not_use_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= choice.physical_cores() <= 4096
    monkeypatch.setattr("psutil.cpu_count", lambda logical=True: 16)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {3, 5})
    assert choice.physical_cores() == 2


def test_one_object_for_each_kind_and_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[tuple[str, int, bool]] = []
    monkeypatch.setattr(choice, "obstacle", lambda name: None if name == "cpu" else Obstacle("no", "Yes."))
    monkeypatch.setattr(choice, "_build", lambda *asked: built.append(asked) or object())
    choice.configure(RasterizerChoice(threads=2))
    first = choice.choose()
    assert choice.choose() is first and choice.choose("cpu") is first
    choice.configure(RasterizerChoice(threads=3, deterministic=False))
    assert choice.choose() is not first
    assert built == [("cpu", 2, True), ("cpu", 3, False)]


def test_the_server_says_what_it_draws_with() -> None:
    said = pipeline.capabilities()
    assert set(said["rasterizer"]) == {"backend", "device", "version", "passed_over"}
    assert said["device"] == said["rasterizer"]["device"] and said["torch_device"] in ("cpu", "cuda")
    assert said["rasterizer"]["backend"] in said["backends"] and "reference" in said["backends"]
    json.dumps(said)


def test_choosing_needs_neither_numpy_nor_torch() -> None:
    code = "import sys, splatonym.server.rasterize.choice; print(sorted({'numpy', 'torch', 'numba'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(("variable", "value", "words"), [(choice.THREADS_VARIABLE, "many", "SPLATONYM_THREADS is 'many'")])
def test_the_server_refuses_wrong_settings(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str) -> None:
    monkeypatch.setenv(variable, value)
    command = [sys.executable, "-I", str(ROOT / "server" / "__main__.py"), "--beside-blender"]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert run.returncode == 2 and words in run.stderr
