# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a view's regions come from: Blender's instance pass (exact), a SAM-family model (if it is on this machine), or no training at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ...core.errors import InvalidInput
from ...core.views import View
from ..job import Job
from ..rasterize.contract import Frame
from ..torch_work import fastest_device
from .segments import segments

KINDS = ("auto", "instances", "sam", "segments")
"""auto takes the first of the others that there is."""

Numbers = npt.NDArray[np.int32]


class Regions(Protocol):
    """exact: whether a number means the same thing in all views."""

    @property
    def kind(self) -> str: ...
    @property
    def exact(self) -> bool: ...

    def of(self, view: View, frame: Frame, job: Job) -> Numbers:
        """Numbers [H, W] from 1 on, 0 for none. frame: the scene as the view sees it."""


class Instances:
    """The views' own instance maps."""

    kind, exact = "instances", True

    def of(self, view: View, frame: Frame, job: Job) -> Numbers:
        return np.zeros(view.rgb.shape[:2], np.int32) if view.index is None else view.index


class Segments:
    """Neighbouring pixels that look alike and lie on one surface; a view without depth is given the scene's own."""

    kind, exact = "segments", False

    def of(self, view: View, frame: Frame, job: Job) -> Numbers:
        return segments(view if view.depth is not None else replace(view, depth=frame.render().depth))


class SamRegions:
    """What a SAM-family model cuts out."""

    kind, exact = "sam", False

    def __init__(self, name: str) -> None:
        from .sam import Sam

        self._sam = Sam.load(name)

    def of(self, view: View, frame: Frame, job: Job) -> Numbers:
        from .sam import regions

        return regions(self._sam, view.rgb, job)


def choose(kind: str, views: Sequence[View], sam_model: str = "") -> tuple[Regions, list[str]]:
    """The regions of that kind, and notes on views that have none; a kind that there is not raises InvalidInput."""
    if kind not in KINDS:
        raise InvalidInput(f"There are no regions '{kind}'.", f"Regions: {', '.join(KINDS)}.")
    shown = sum(view.index is not None and bool(view.index.any()) for view in views)
    if kind == "instances" and not shown:
        raise InvalidInput("No view has an instance map that shows anything.", "Use the regions 'segments'.")
    if kind == "instances" or (kind == "auto" and shown):
        missing = len(views) - shown
        return Instances(), [f"{missing} of {len(views)} views have no instance map and were left out."] if missing else []
    from . import sam

    gpu = fastest_device().type != "cpu"
    model = sam_model or sam.available(largest=gpu) or (sam.KNOWN[0].name if kind == "sam" else "")
    return (SamRegions(model) if kind == "sam" or (kind == "auto" and model) else Segments()), []
