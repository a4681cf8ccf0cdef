# SPDX-License-Identifier: GPL-3.0-or-later
"""Architectures as data: what a network is made of stands in a JSON file of `configs/`."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ...core.errors import InvalidFile, NotAvailable

_FOLDER = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class NetworkConfig:
    """preset: the label set (core/presets) whose names are the classes, in its order. class_count: how many of them.
    pixels: of a picture inside the network, about; any picture is brought to this area.
    planes, groups, matching_channels, sources: of the plane sweep, sources being other views compared with each.
    channels: of maps at 1/4, 1/8 and 1/16. heads, attention_blocks: of the attention among views. point_features: of each point.
    cell: side of the cells in which points of different views meet, in pixel footprints.
    cross_view, cost_volume, offsets, point_interaction: parts that an ablation may leave out.
    refinement: whether a narrow second sweep at 1/2 follows the first.
    own_semantics: whether classes have Gaussians of their own (GSsplat) or share those of the colours (SemGS).
    """

    preset: str
    class_count: int
    pixels: int = 160 * 160
    planes: int = 64
    groups: int = 2
    matching_channels: int = 32
    sources: int = 3
    channels: tuple[int, int, int] = (64, 96, 128)
    heads: int = 4
    attention_blocks: int = 2
    point_features: int = 24
    cell: float = 4.0
    cross_view: bool = True
    cost_volume: bool = True
    offsets: bool = True
    point_interaction: bool = True
    refinement: bool = True
    own_semantics: bool = False


def names() -> list[str]:
    """All architectures there are."""
    return sorted(path.stem for path in _FOLDER.glob("*.json"))


def load(name: str) -> NetworkConfig:
    """The architecture of that name; an unknown one raises NotAvailable."""
    path = _FOLDER / f"{name}.json"
    if name not in names():
        raise NotAvailable(f"There is no network '{name}'.", f"Networks: {', '.join(names())}.")
    return parse(json.loads(path.read_text(encoding="utf-8")), str(path))


def parse(values: dict[str, Any], source: str) -> NetworkConfig:
    """A config from JSON; unknown or missing entries raise InvalidFile, naming them."""
    known = {f.name for f in fields(NetworkConfig)}
    if unknown := sorted(set(values) - known):
        raise InvalidFile(f"{source}: unknown entries {', '.join(unknown)}.", f"Entries: {', '.join(sorted(known))}.")
    if missing := {"preset", "class_count"} - set(values):
        raise InvalidFile(f"{source}: {', '.join(sorted(missing))} is missing.", "Add it.")
    if isinstance(values.get("channels"), list):
        values = {**values, "channels": tuple(values["channels"])}
    return NetworkConfig(**values)
