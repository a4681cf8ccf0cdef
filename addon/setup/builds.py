# SPDX-License-Identifier: GPL-3.0-or-later
"""Which build of torch suits this machine, and what it takes to download it. No bpy.

The package index has one build for each system: with CUDA 13 on Linux, for the processor (and Apple's GPU) elsewhere. PyTorch's own index
has the others, which uv calls cpu, cu126 and cu130. Sizes were measured by `scripts/measure_downloads.py`; what was not is None.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import NotAvailable
from ...core.files import read_json

AUTOMATIC, INDEX, CPU = "auto", "index", "cpu"
_CUDA_13, _CUDA_12 = 13000, 12000
_NVIDIA = ("nvidia-", "cuda-", "triton")
"""Packages that the build of the package index pins for itself; another build brings its own."""


def n_(text: str) -> str:
    """Marks a text that is translated where it is shown (see addon/translations)."""
    return text


@dataclass(frozen=True)
class Build:
    """One build: uv's name of it ("index": the package index's own), why it was chosen, and its sizes in bytes where they are known.

    reason: a text to be translated, with room for `cuda`, what the driver knows.
    about: the download was measured on another version of the build's largest file.
    """

    name: str
    reason: str
    download: int | None = None
    installed: int | None = None
    about: bool = False
    cuda: str = ""


def human(count: int) -> str:
    """Bytes as a person reads them, in decimal units as download pages and file managers do."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


@functools.cache
def cuda_of_driver() -> int | None:
    """The newest CUDA that the NVIDIA driver knows (13000 is 13.0); None without a driver. Asks the driver's library alone."""
    try:
        library = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        version = ctypes.c_int(0)
        if library.cuDriverGetVersion(ctypes.byref(version)) != 0:
            return None
    except (OSError, AttributeError):
        return None
    return version.value or None


def machine() -> str:
    """This machine as the sizes name it: linux-x86_64, windows-x86_64, macos-arm64."""
    system = {"win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform)
    processor = platform.machine().lower()
    return f"{system}-{ {'amd64': 'x86_64', 'aarch64': 'arm64'}.get(processor, processor) }"


def choose(wanted: str, where: str, cuda: int | None, sizes: Path) -> Build:
    """The build for a wish on a machine with such a driver; a machine that torch is not built for raises NotAvailable."""
    name, reason = _choose(wanted, where, cuda)
    known = read_json(sizes)["platforms"].get(where, {}).get(name, {})
    return Build(name, reason, known.get("download"), known.get("installed"), known.get("about", False), _words(cuda))


def _choose(wanted: str, where: str, cuda: int | None) -> tuple[str, str]:
    system = where.partition("-")[0]
    if where == "macos-x86_64":
        raise NotAvailable(
            "There is no torch for Macs with an Intel processor.", "Use another machine, or a Python that has torch."
        )
    if wanted not in (AUTOMATIC, INDEX, CPU):
        return wanted, n_("As asked for")
    if system != "linux":
        if wanted == AUTOMATIC and system == "windows" and cuda is not None and cuda >= _CUDA_12:
            return ("cu130" if cuda >= _CUDA_13 else "cu126"), n_("For the NVIDIA driver found, CUDA {cuda}")
        return INDEX, n_("The ordinary build for this system")
    if wanted == INDEX:
        return INDEX, n_("With CUDA 13, which it uses where there is an NVIDIA GPU")
    if wanted == CPU:
        return CPU, n_("For the processor alone")
    if cuda is None:
        return CPU, n_("No NVIDIA driver was found")
    if cuda >= _CUDA_13:
        return INDEX, n_("For the NVIDIA driver found, CUDA {cuda}")
    if cuda >= _CUDA_12 and where == "linux-x86_64":
        return "cu126", n_("For the NVIDIA driver found, CUDA {cuda}")
    return CPU, n_("The NVIDIA driver found is too old: CUDA {cuda}")


def _words(cuda: int | None) -> str:
    return "" if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}"


def constraints(pinned: str, build: str) -> str:
    """The pinned requirements as they bind this build."""
    if build == INDEX:
        return pinned
    return "\n".join(line for line in pinned.splitlines() if not line.startswith(_NVIDIA)) + "\n"
