# SPDX-License-Identifier: GPL-3.0-or-later
"""What is installed, what works, and how to repair what does not.

Nothing is believed: packages are imported, and every rasterizer draws a Gaussian and must put it in the right place; gsplat, which
may compile for minutes, is tried once and remembered. A check is "ok", "absent" (something optional that is not there) or "broken";
what the main job needs is "needed".
"""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from .. import __version__
from ..core.cameras import Camera, intrinsics
from ..core.errors import Cancelled, SplatonymError
from ..core.gaussians import GaussianArrays, sh_from_rgb
from .job import Job
from .rasterize import choice

State = Literal["ok", "absent", "broken"]

# distribution: (module, needed, what it is for)
PACKAGES = {
    "torch": ("torch", True, "everything that is computed"),
    "numpy": ("numpy", True, "arrays"),
    "pillow": ("PIL", True, "reading and writing pictures"),
    "OpenEXR": ("OpenEXR", False, "depth maps as EXR"),
    "safetensors": ("safetensors", False, "the predictor 'network', which reads its weights with it"),
    "numba": ("numba", False, "fast pictures without a GPU; without it they are drawn by the reference, slowly"),
    "psutil": ("psutil", False, "counting the processor's cores, and ending a trial of gsplat"),
    "gsplat": ("gsplat", False, "fast pictures on an NVIDIA GPU"),
    "open_clip_torch": ("open_clip", False, "labels and queries by free text, in a later version"),
}


@dataclass(frozen=True)
class Check:
    """One thing looked at: its group and name, how it is, what was found, and how to repair it."""

    group: str
    name: str
    state: State
    found: str
    repair: str = ""
    needed: bool = False


def examine(job: Job | None = None, *, again: bool = False) -> list[Check]:
    """All checks, in the order in which a person would read them; `again` tries gsplat even if an outcome is remembered."""
    return [*_machine(), *_packages(), *_models(), *_cuda(), *_backends(job or Job(), again)]


def fit(checks: list[Check]) -> bool:
    """Whether the main job can run."""
    return all(check.state == "ok" for check in checks if check.needed)


def _machine() -> Iterator[Check]:
    python_ok = sys.version_info >= (3, 11)
    repair = "" if python_ok else "Use Python 3.11 or newer."
    yield Check("machine", "splatonym", "ok", __version__)
    yield Check(
        "machine", "Python", "ok" if python_ok else "broken", f"{platform.python_version()} at {sys.executable}", repair, True
    )
    yield Check("machine", "system", "ok", f"{platform.system()} {platform.release()}, {platform.machine()}")


def _packages() -> Iterator[Check]:
    for distribution, (module, needed, purpose) in PACKAGES.items():
        install = f"{sys.executable} -m pip install {distribution}"
        try:
            importlib.import_module(module)
            version = importlib.metadata.version(distribution)
        except ModuleNotFoundError as error:
            if error.name == module:
                yield Check("packages", distribution, "absent", f"not installed; it is for {purpose}", install, needed)
            else:
                yield Check("packages", distribution, "broken", f"cannot be imported: {error}", install, needed)
        except (ImportError, OSError, RuntimeError) as error:  # a library that is missing or of another version
            yield Check(
                "packages", distribution, "broken", f"cannot be imported: {error}", f"{install} --force-reinstall", needed
            )
        else:
            yield Check("packages", distribution, "ok", version, "", needed)


def _models() -> Iterator[Check]:
    """The trained networks that come with the project, each read as a prediction would."""
    try:
        from .models import weights
    except (ImportError, OSError):  # no torch, which the packages say
        return
    if not weights.names():
        yield Check(
            "models", weights.DEFAULT, "absent", "no trained weights are here; the predictor 'network' needs a file then"
        )
    for name in weights.names():
        try:
            trained = weights.load(name)
        except SplatonymError as error:
            yield Check("models", name, "broken", error.message, error.hint)
        else:
            classes = trained.network.config.class_count
            yield Check("models", name, "ok", f"{classes} classes of the label set '{trained.network.config.preset}'")


def _cuda() -> Iterator[Check]:
    try:
        import torch
    except (ImportError, OSError):
        return
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(number)
            found = f"{about.name}, {about.total_memory / 2**30:.0f} GiB, compute capability {about.major}.{about.minor}"
            yield Check("devices", f"cuda:{number}", "ok", f"{found}, CUDA {torch.version.cuda}")
    elif torch.version.cuda is None:
        repair = "With an NVIDIA GPU, install a CUDA build: see https://pytorch.org/get-started."
        yield Check("devices", "cuda", "absent", "this torch is built without CUDA", repair)
    else:
        repair = "With an NVIDIA GPU, install or update its driver ('nvidia-smi' must list it)."
        yield Check("devices", "cuda", "absent", f"torch has CUDA {torch.version.cuda}, but finds no GPU", repair)
    yield Check("devices", "cpu", "ok", f"{torch.get_num_threads()} threads")
    yield _nvcc()


def _nvcc() -> Check:
    from .rasterize.gsplat.probe import find_nvcc, nvcc_release

    path = find_nvcc()
    if path is None:
        return Check("devices", "nvcc", "absent", "no CUDA compiler; gsplat needs it on its first start, nothing else does")
    release = nvcc_release(path)
    if release is None:
        return Check("devices", "nvcc", "broken", f"{path} does not run", "Install the CUDA toolkit again.")
    return Check("devices", "nvcc", "ok", f"{path}, CUDA {release}")


def _backends(job: Job, again: bool) -> Iterator[Check]:
    try:
        import torch  # noqa: F401 - nothing draws without it
    except (ImportError, OSError) as error:
        yield Check("rasterizers", "reference", "broken", f"cannot be loaded: {error}", "Install torch and numpy.", True)
        return
    for name in choice.BACKENDS:
        needed = name == "reference"
        with job.stage(f"try the rasterizer {name}"):
            found = choice.try_out(name, job, again=again)
        if found is not None:
            yield Check("rasterizers", name, "absent", f"cannot be used: {found.reason}", found.repair, needed)
            continue
        try:
            with job.stage(f"draw with {name}"):
                device, wrong = _try_backend(name, job)
        except Cancelled:
            raise
        except SplatonymError as error:
            yield Check("rasterizers", name, "absent", error.message, error.hint, needed)
        except Exception as error:  # noqa: BLE001 - compilers and drivers raise errors of any kind, and this is to name them
            yield Check("rasterizers", name, "broken", f"fails: {error}", "Install its packages again.", needed)
        else:
            repair = "Report this, with this output, at the project's page." if wrong else ""
            yield Check("rasterizers", name, "broken" if wrong else "ok", wrong or f"draws rightly on {device}", repair, needed)
    yield _chosen()


def _chosen() -> Check:
    """What a prediction would draw with, and why not with something better."""
    try:
        backend = choice.choose()
    except SplatonymError as error:
        return Check("rasterizers", "in use", "broken", error.message, error.hint, True)
    return Check(
        "rasterizers", "in use", "ok", " ".join([f"{backend.name} on {backend.device}.", *choice.passed_over(backend)])
    )


def _try_backend(name: str, job: Job) -> tuple[str, str]:
    """Draw one red Gaussian in the middle of a picture: the device, and what is wrong with the picture ("" for nothing)."""
    from .rasterize.contract import RasterSettings

    backend = choice.choose(name)
    backend.ready(job)
    gaussian = GaussianArrays(
        means=np.array([[0, 0, 2]], np.float32),
        quats=np.array([[1, 0, 0, 0]], np.float32),
        scales=np.full((1, 3), 0.1, np.float32),
        opacities=np.array([0.9], np.float32),
        sh=sh_from_rgb(np.array([[1.0, 0.0, 0.0]])),
    )
    camera = Camera(33, 33, intrinsics(40, 40, 16.5, 16.5), np.eye(4))
    picture = backend.prepare(gaussian, camera, RasterSettings(), job).render()
    middle = picture.features[16, 16] / max(float(picture.alpha[16, 16]), 1e-6)
    right = (
        abs(float(picture.alpha[16, 16]) - 0.9) < 0.02
        and abs(float(picture.depth[16, 16]) - 2) < 0.01
        and np.allclose(middle, [1, 0, 0], atol=0.02)
        and float(picture.alpha[0, 0]) < 1e-3
    )
    return backend.device, "" if right else f"draws a wrong picture on {backend.device}"


_MARKS: dict[State, str] = {"ok": "ok", "absent": "-", "broken": "BROKEN"}


def report(checks: list[Check]) -> str:
    """The checks for a terminal."""
    width = max(len(check.name) for check in checks)
    lines: list[str] = []
    group = ""
    for check in checks:
        if check.group != group:
            group = check.group
            lines += [*([""] if lines else []), group]
        mark = "MISSING" if check.needed and check.state == "absent" else _MARKS[check.state]
        lines.append(f"  {mark:<8}{check.name:<{width}}  {check.found}")
        if check.repair:
            lines.append(f"  {'':<8}{'':<{width}}  -> {check.repair}")
    lines += [
        "",
        "The main job can run." if fit(checks) else "The main job cannot run: repair what is MISSING or BROKEN above.",
    ]
    return "\n".join(lines)


def as_json(checks: list[Check]) -> dict[str, object]:
    """The checks as a JSON object."""
    return {"fit": fit(checks), "checks": [asdict(check) for check in checks]}
