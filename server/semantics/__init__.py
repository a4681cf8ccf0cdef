# SPDX-License-Identifier: GPL-3.0-or-later
"""Names for Gaussians: the label sources."""

from __future__ import annotations

from ...core.errors import NotAvailable
from .contract import Labelled, LabelSource

__all__ = ["LabelSource", "Labelled", "choose", "names"]

_NOT_BUILT_YET = ("text",)


def names() -> list[str]:
    """All label sources there are."""
    return ["network", "scene"]


def choose(name: str) -> LabelSource:
    """The label source of that name."""
    if name == "scene":
        from .scene_labels import SceneLabels

        return SceneLabels()
    if name == "network":
        from .network_labels import NetworkLabels

        return NetworkLabels()
    what = f"The label source '{name}' is not built yet." if name in _NOT_BUILT_YET else f"There is no label source '{name}'."
    raise NotAvailable(what, f"Label sources: {', '.join(names())}.")
