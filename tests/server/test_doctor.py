# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor: a healthy machine, and machines on which something is missing or lies."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from networks import write_model
from splatonym.server import doctor, pipeline
from splatonym.server.cli import main
from splatonym.server.models import weights
from splatonym.server.rasterize import choice
from splatonym.server.rasterize.contract import RenderOutput


def named(checks: list[doctor.Check], name: str) -> doctor.Check:
    return next(check for check in checks if check.name == name)


def test_a_healthy_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for word in (
        "Python",
        "torch",
        "gsplat",
        "numba",
        "psutil",
        "open_clip",
        "cpu",
        "reference",
        "draws rightly",
        "The main job can run.",
    ):
        assert word in out
    assert main(["doctor", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["fit"] is True
    assert {"group", "name", "state", "found", "repair", "needed"} == set(content["checks"][0])
    states = {check["name"]: check["state"] for check in content["checks"]}
    assert states["torch"] == states["numpy"] == states["pillow"] == states["reference"] == "ok"


def test_nothing_is_promised_for_later_that_is_there() -> None:
    for name in ("gsplat", "numba", "psutil"):
        assert "later version" not in doctor.PACKAGES[name][2] and not doctor.PACKAGES[name][1]


def test_what_is_in_use_and_why_nothing_better_is() -> None:
    checks = doctor.examine()
    used = named(checks, "in use")
    assert used.state == "ok" and used.found.startswith(f"{choice.choose().name} on ")
    for check in checks:
        if check.group == "rasterizers" and check.state == "absent":
            assert check.found.removeprefix("cannot be used: ") in used.found and check.repair


def test_gsplat_is_tried_again_when_asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[bool] = []

    def tried(name: str, job: object, *, again: bool = False) -> choice.Obstacle:
        asked.append(again)
        return choice.Obstacle("nvcc is missing", "Install the CUDA toolkit.")

    monkeypatch.setattr(choice, "try_out", tried)
    assert main(["doctor", "--again"]) == 1 and set(asked) == {True}  # not even the reference
    out = capsys.readouterr().out
    assert "cannot be used: nvcc is missing" in out and "-> Install the CUDA toolkit." in out


def test_every_backend_is_tried() -> None:
    assert {c.name for c in doctor.examine() if c.group == "rasterizers"} == {*choice.BACKENDS, "in use"}


@pytest.mark.parametrize(
    ("module", "error", "state", "healthy"),
    [
        ("numba", ModuleNotFoundError("No module named 'numba'", name="numba"), "absent", True),
        ("gsplat", ImportError("libcudart.so: cannot open shared object file"), "broken", True),
        ("gsplat", ModuleNotFoundError("No module named 'jaxtyping'", name="jaxtyping"), "broken", True),
        ("PIL", ModuleNotFoundError("No module named 'PIL'", name="PIL"), "absent", False),
    ],
)
def test_packages_that_do_not_import(
    monkeypatch: pytest.MonkeyPatch, module: str, error: ImportError, state: str, healthy: bool
) -> None:
    honest = importlib.import_module

    def spoiled(name: str, package: str | None = None) -> ModuleType:
        if name == module:
            raise error
        return honest(name, package)

    monkeypatch.setattr(importlib, "import_module", spoiled)
    distribution = next(name for name, entry in doctor.PACKAGES.items() if entry[0] == module)
    checks = doctor.examine()
    check = named(checks, distribution)
    assert (check.state, doctor.fit(checks)) == (state, healthy)
    assert "pip install " + distribution in check.repair
    assert ("MISSING" in doctor.report(checks)) is not healthy


class Liar:
    """A rasterizer that answers, but draws nothing."""

    name, device, version = "reference", "cpu", "0"

    def ready(self, job: object) -> None:
        """Nothing to compile."""

    def prepare(self, *_: object) -> Liar:
        return self

    def render(self) -> RenderOutput:
        empty = np.zeros((33, 33), np.float32)
        return RenderOutput(np.zeros((33, 33, 3), np.float32), empty, empty)


class Crash(Liar):
    def render(self) -> RenderOutput:
        raise RuntimeError("CUDA error: no kernel image is available")


@pytest.mark.parametrize(("backend", "words"), [(Liar, "draws a wrong picture"), (Crash, "no kernel image")])
def test_rasterizers_that_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], backend: Any, words: str
) -> None:
    monkeypatch.setattr(choice, "choose", lambda name=None: backend())
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert words in out and "BROKEN" in out and "cannot run" in out


def test_what_is_not_needed_does_not_count() -> None:
    good = doctor.Check("packages", "torch", "ok", "2.11", needed=True)
    assert doctor.fit([good, doctor.Check("packages", "numba", "broken", "")])
    assert not doctor.fit([replace(good, state="absent")])


def test_models_are_read_and_not_believed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    assert named(doctor.examine(), "rooms").state == "absent"
    path = Path(write_model(tmp_path, name="tiny"))
    (tmp_path / "index.json").write_text(json.dumps({"tiny": weights.load(str(path)).sha256, "gone": "0" * 64}))
    checks = doctor.examine()
    assert named(checks, "tiny").state == "ok" and "24 classes" in named(checks, "tiny").found
    assert named(checks, "gone").state == "broken" and "missing" in named(checks, "gone").found and named(checks, "gone").repair
    assert doctor.fit(checks)
    assert pipeline.capabilities()["models"] == ["gone", "tiny"]
