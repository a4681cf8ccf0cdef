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
    """Buffers that are used again when nobody looks at them any more.

    The system takes longer to hand out fresh memory (it clears it, page by page) than a kernel takes to fill it.
    """

    def __init__(self) -> None:
        self._free: list[npt.NDArray[np.uint8]] = []
        self._lock = threading.RLock()  # a collection may give back in the middle of taking

    def take(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
        """An array with anything in it, aligned to a cache line. When it and all its views are gone, its buffer comes back."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize + 64
        with self._lock:
            fitting = [k for k, buffer in enumerate(self._free) if size <= buffer.nbytes <= 2 * size + (1 << 20)]
            buffer = self._free.pop(min(fitting, key=lambda k: self._free[k].nbytes)) if fitting else None
        if buffer is None:
            buffer = np.empty(size + size // 8, np.uint8)
        start = -buffer.ctypes.data % 64
        return np.asarray(_Lease(self, buffer))[start : start + size - 64].view(dtype).reshape(shape)

    def give(self, buffer: npt.NDArray[np.uint8]) -> None:
        """Keep a buffer for later, and the newest of them up to _KEPT_MOST bytes."""
        with self._lock:
            self._free.append(buffer)
            while sum(kept.nbytes for kept in self._free) > _KEPT_MOST:
                self._free.pop(0)


class _Lease:
    """What an array and its views hold on to: numpy follows views down to the first owner that is no array, which is this."""

    def __init__(self, memory: Memory, buffer: npt.NDArray[np.uint8]) -> None:
        self._memory, self._buffer = memory, buffer
        self.__array_interface__ = buffer.__array_interface__

    def __del__(self) -> None:
        self._memory.give(self._buffer)
