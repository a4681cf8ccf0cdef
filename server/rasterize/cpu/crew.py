# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads that run kernels, and memory that is used again."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import numpy.typing as npt

from ...job import Job

_LOOK = 0.05
"""Seconds after which a job is asked whether it was cancelled, while kernels run."""
_NO_MORE = 1 << 40
"""More tiles than there are, and a number that may still be multiplied by that of the threads."""
_KEPT_MOST = 1 << 30
"""Bytes of buffers that are kept for the next frame."""

Kernel = Callable[..., Any]


class Crew:
    """Threads that run the parts of a kernel, and sleep in between.

    Kernels run without Python's lock. One Python thread at a time gives the crew work; another that comes waits for its turn.
    deterministic: a thread always gets the same tiles, so that sums come out the same, bit for bit, with the same number of threads.
    """

    def __init__(self, threads: int, deterministic: bool = False) -> None:
        self.threads, self.deterministic = threads, deterministic
        self._turn = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._process = os.getpid()

    def run(self, kernel: Kernel, *arguments: Any, job: Job) -> list[Any]:
        """kernel(part, parts, *arguments) on every thread, the caller's being one of them: for kernels that take milliseconds.

        Gives what the parts gave.
        """
        with self._my_turn():
            job.check()
            others = [self._begin(kernel, part, self.threads, arguments) for part in range(1, self.threads)]
            try:
                first = kernel(0, self.threads, *arguments)
            finally:
                wait(others)
            return [first, *(other.result() for other in others)]

    def run_tiles(self, kernel: Kernel, *arguments: Any, job: Job, threads: int | None = None) -> None:
        """kernel(part, parts, tickets, *arguments), which comes for one tile after another: for those that may take seconds.

        The caller looks after the job meanwhile. When that is cancelled the other tiles are taken away, and Cancelled is raised.
        """
        threads = threads or self.threads
        tickets = np.zeros(threads if self.deterministic else 1, np.int64)
        with self._my_turn():
            job.check()
            running = [self._begin(kernel, part, threads, (tickets, *arguments)) for part in range(threads)]
            try:
                while wait(running, _LOOK).not_done:
                    if job.cancelled:
                        tickets[:] = _NO_MORE
            finally:  # also of an interrupt from the keyboard
                tickets[:] = _NO_MORE
                wait(running)
            for future in running:
                future.result()
            job.check()

    def _my_turn(self) -> threading.Lock:
        if self._process != os.getpid():  # neither threads nor their locks survive a fork
            self._pool, self._turn, self._process = None, threading.Lock(), os.getpid()
        return self._turn

    def _begin(self, kernel: Kernel, part: int, parts: int, arguments: Sequence[Any]) -> Future[Any]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, "splats")
        return self._pool.submit(kernel, part, parts, *arguments)


class Memory:
    """Buffers that are used again when nobody looks at them any more.

    The system takes longer to hand out fresh memory (it clears it, page by page) than a kernel takes to fill it.
    """

    def __init__(self) -> None:
        self._free: list[npt.NDArray[np.uint8]] = []
        self._lock = threading.RLock()  # a collection of garbage may give back while something is taken

    def take(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
        """An array with anything in it, aligned to a cache line. When it and all its views are gone, its buffer comes back."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize + 64
        with self._lock:
            fitting = [kept for kept in self._free if size <= kept.nbytes <= 2 * size + (1 << 20)]
            buffer = min(fitting, key=len, default=None)
            if buffer is not None:
                self._free = [kept for kept in self._free if kept is not buffer]
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
