# SPDX-License-Identifier: GPL-3.0-or-later
"""What all work with torch needs: the device, a cancel that is heard in the middle of a network, and batches that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..core.wire.errors import OutOfMemory
from .job import Job


def fastest_device() -> torch.device:
    """Where networks run: an NVIDIA GPU if torch finds one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Cancellable(TorchFunctionMode):
    """Within it every torch operation first asks whether somebody cancelled: the network itself knows no job."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self._job.check()
        return func(*args, **(kwargs or {}))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; torch says so of the processor's only by its text."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)


def in_batches(items: Sequence[Any], ask: Callable[[Sequence[Any]], Tensor], at_once: int, who: str, job: Job) -> Tensor:
    """What `ask` gives for all items, some at once, one after the other: fewer at once where memory runs out, down to one.

    who: whose memory it is, for the error OutOfMemory.
    """
    found: list[Tensor] = []
    start = 0
    while start < len(items):
        job.check()
        try:
            with Cancellable(job):
                found.append(ask(items[start : start + at_once]))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if at_once == 1:
                raise OutOfMemory(f"There is not enough memory for '{who}'.", "Choose a smaller model.") from error
            at_once //= 2
            continue
        start += at_once
    return torch.cat(found)
