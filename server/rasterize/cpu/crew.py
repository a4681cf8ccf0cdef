# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads that run kernels, and memory that is used again."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import numpy.typing as npt

from ...job import Job

_LOOK = 0.05
"""Seconds after which a job is asked whether it was cancelled, while kernels run."""
_NO_MORE = 1 << 60
_KEPT_MOST = 1 << 30
"""Bytes of buffers that are kept for the next frame."""

Kernel = Callable[..., Any]
Tickets = npt.NDArray[np.int64]


class Crew:
    """Threads that run the parts of a kernel, and sleep in between.

    Kernels run without Python's lock. One Python thread at a time gives the crew work; another that comes waits for its turn.
    deterministic: a thread always gets the same tiles, so that sums come out the same, bit for bit, with the same number of threads.
    """

    def __init__(self, threads: int, deterministic: bool = False) -> None:
        self.threads, self.deterministic = threads, deterministic
        self._turn = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0

    def run(self, kernel: Kernel, *arguments: Any, job: Job) -> None:
        """kernel(part, parts, *arguments) on every thread; raises Cancelled afterwards if the job was."""
        self._run(kernel, self.threads, arguments, job, None)

    def run_tiles(self, kernel: Kernel, *arguments: Any, job: Job, threads: int | None = None) -> None:
        """kernel(part, parts, tickets, *arguments), which comes for one tile after another; a cancel takes the rest away."""
        threads = threads or self.threads
        tickets = np.zeros(threads if self.deterministic else 1, np.int64)
        self._run(kernel, threads, (tickets, *arguments), job, tickets)

    def _run(self, kernel: Kernel, threads: int, arguments: Sequence[Any], job: Job, tickets: Tickets | None) -> None:
        with self._turn:
            job.check()
            if self._pool is None or self._process != os.getpid():  # threads do not survive a fork
                self._pool, self._process = ThreadPoolExecutor(self.threads, "splats"), os.getpid()
            running = [self._pool.submit(kernel, part, threads, *arguments) for part in range(threads)]
            waiting = wait(running, _LOOK).not_done
            while waiting:
                if job.cancelled and tickets is not None:
                    tickets[:] = _NO_MORE
                waiting = wait(running, _LOOK).not_done
            for future in running:
                future.result()
            job.check()


class Memory:
    """Buffers that frames give back: the system takes longer to hand out fresh memory than a kernel takes to fill it."""

    def __init__(self) -> None:
        self._free: list[npt.NDArray[np.uint8]] = []
        self._lock = threading.Lock()

    def take(self, shape: tuple[int, ...], dtype: npt.DTypeLike, into: list[npt.NDArray[np.uint8]]) -> npt.NDArray[Any]:
        """An array with anything in it, aligned to a cache line; its buffer is added to `into`, to be given back from there."""
        kind = np.dtype(dtype)
        size = int(np.prod(shape)) * kind.itemsize + 64
        with self._lock:
            fitting = [k for k, buffer in enumerate(self._free) if size <= buffer.nbytes <= 4 * size]
            buffer = self._free.pop(min(fitting, key=lambda k: self._free[k].nbytes)) if fitting else None
        if buffer is None:
            buffer = np.empty(size + size // 8, np.uint8)
        into.append(buffer)
        start = -buffer.ctypes.data % 64
        return buffer[start : start + size - 64].view(kind).reshape(shape)

    def give(self, buffers: list[npt.NDArray[np.uint8]]) -> None:
        """Nobody uses these any more."""
        with self._lock:
            self._free += buffers
            while sum(buffer.nbytes for buffer in self._free) > _KEPT_MOST:
                self._free.pop(0)
