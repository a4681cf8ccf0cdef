# SPDX-License-Identifier: GPL-3.0-or-later
"""How the 24 classes of rooms are called in other label sets, so that results can be compared with others' figures.

A class without a counterpart becomes "unlabelled", or the set's own rest class where what it holds belongs there.
"""

from __future__ import annotations

from collections.abc import Mapping

from .errors import NotAvailable
from .labels import UNLABELLED, preset

# Only where the name differs: a name that stands in both sets stays, and any other becomes "unlabelled".
_FROM_ROOMS: Mapping[str, Mapping[str, str]] = {
    "scannet20": {
        "shelf": "bookshelf",
        "appliance": "otherfurniture",
        "other": "otherfurniture",
    },  # ceiling, lamp, plant, television, floor mat and small things are not among ScanNet's 20
    "nyu40": {
        "shelf": "shelves",
        "plant": "otherprop",
        "appliance": "otherfurniture",
        "tv": "television",
        "rug": "floor mat",
        "small_object": "otherprop",
        "other": "otherfurniture",
    },
    "ade20k": {
        "window": "windowpane",
        "tv": "television receiver",
        "picture": "painting",
    },  # no class of ADE20K holds all appliances, or all small things
}
_SOURCES = ("rooms", "indoor")  # the same names


def translate(from_preset: str, to_preset: str) -> dict[str, str]:
    """What each name of one label set is called in another; without a counterpart it is "unlabelled"."""
    source, target = preset(from_preset).names, preset(to_preset).names
    if from_preset == to_preset or {from_preset, to_preset} <= set(_SOURCES):
        return {name: name for name in source}
    if from_preset not in _SOURCES or to_preset not in _FROM_ROOMS:
        raise NotAvailable(
            f"There is no table from label set '{from_preset}' to '{to_preset}'.",
            f"Tables: from {' or '.join(_SOURCES)} to {', '.join(_FROM_ROOMS)}.",
        )
    renamed = _FROM_ROOMS[to_preset]
    return {name: renamed.get(name, name if name in target else UNLABELLED) for name in source}
