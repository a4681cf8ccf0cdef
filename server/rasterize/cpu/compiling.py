# SPDX-License-Identifier: GPL-3.0-or-later
"""How the kernels are compiled, and where the compiled ones are kept.

No kernel uses numba's own threads: each is called once by every thread of `crew.py`, with its part of the work and without Python's
lock. So there is no OpenMP that spins beside Blender, nothing that aborts when two Python threads render or that breaks when a process
forks, and no threading library that a system may lack.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numba

from ...caches import user_cache


def cache_folder() -> Path:
    """Where compiled kernels are kept: in NUMBA_CACHE_DIR or the user's cache, a folder for each state of these sources.

    numba looks at the file of a kernel alone and would take an old one whose helpers in other files have changed.
    """
    here = Path(__file__).parent
    sources = [*sorted(here.glob("*.py")), here.parent / "contract.py"]  # whose numbers are compiled in
    state = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    return (Path(chosen) if chosen else user_cache() / "kernels") / state


numba.config.CACHE_DIR = str(cache_folder())  # type: ignore[attr-defined]

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}

kernel = numba.njit(cache=True, **_OPTIONS)
"""Decorates what Python calls: compiled at its first call, kept on disk."""

inner = numba.njit(forceinline=True, **_OPTIONS)
"""Decorates what kernels call; it becomes part of them."""
