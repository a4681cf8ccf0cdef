# SPDX-License-Identifier: GPL-3.0-or-later
"""One set-up at a time, also between several Blenders. The system frees the lock of a process that is gone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...core.errors import NotAvailable


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file; another holder raises NotAvailable."""
    with path.open("a+b") as file:
        try:
            if os.name == "nt":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise NotAvailable(
                "Another Blender is setting the server up.", "Wait for it; this one will use the same environment."
            ) from error
        yield
