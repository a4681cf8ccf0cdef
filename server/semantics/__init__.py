# SPDX-License-Identifier: GPL-3.0-or-later
"""Names for Gaussians: the label sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.errors import InvalidInput, NotAvailable
from .contract import Labelled, LabelSource

__all__ = ["LabelSource", "Labelled", "choose", "names"]


def names() -> list[str]:
    """All label sources there are."""
    return ["network", "scene", "text"]


def choose(name: str, options: Mapping[str, Any] | None = None) -> LabelSource:
    """The label source of that name; one that has no options refuses them."""
    if name == "text":
        from .text_labels import TextLabels

        return TextLabels(options)
    if name not in names():
        raise NotAvailable(f"There is no label source '{name}'.", f"Label sources: {', '.join(names())}.")
    if options:
        raise InvalidInput(f"The label source '{name}' has no option '{next(iter(options))}'.", "Leave it out, or use 'text'.")
    if name == "scene":
        from .scene_labels import SceneLabels

        return SceneLabels()
    from .network_labels import NetworkLabels

    return NetworkLabels()
