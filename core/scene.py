# SPDX-License-Identifier: GPL-3.0-or-later
"""A labelled scene and its folder on disk: `scene.ply` and `labels.json`.

`labels.json` is {"name", "classes": [...], "instances": {"1": {"class", "name"}}}; a label's id is its place in `classes`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .errors import InvalidFile, InvalidInput
from .files import read_json, staged_folder, write_json
from .gaussians import GaussianArrays
from .labels import LabelMap
from .ply import read_ply, write_ply
from .views import Instance

PLY_NAME, LABELS_NAME = "scene.ply", "labels.json"


@dataclass(frozen=True)
class SemanticScene:
    """Gaussians, what their label ids mean, and what their instance numbers are."""

    name: str
    gaussians: GaussianArrays
    labels: LabelMap
    instances: Mapping[int, Instance] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Gaussians of each class that occurs, by name, in the order of the label set."""
        if self.gaussians.label is None:
            return {}
        numbers = np.bincount(self.gaussians.label, minlength=len(self.labels))
        return {name: int(n) for name, n in zip(self.labels.names, numbers, strict=True) if n}


def write_scene(folder: str | os.PathLike[str], scene: SemanticScene, *, strict: bool = False) -> None:
    """Write a scene into a folder, which is made if needed: both files, or on an error neither."""
    content = {
        "name": scene.name,
        "classes": list(scene.labels.names),
        "instances": {str(i.id): {"class": i.class_name, "name": i.name} for i in scene.instances.values()},
    }
    with staged_folder(Path(folder)) as stage:
        write_ply(stage / PLY_NAME, scene.gaussians, strict=strict)
        write_json(stage / LABELS_NAME, content)


def read_scene(folder: str | os.PathLike[str]) -> SemanticScene:
    """Read what `write_scene` wrote; a folder without the two files, or with others' content, raises InvalidFile."""
    folder = Path(folder)
    gaussians = read_ply(folder / PLY_NAME)
    name, labels, instances = read_labels(folder / LABELS_NAME)
    if gaussians.label is not None and len(gaussians):
        low, high = int(gaussians.label.min()), int(gaussians.label.max())
        if low < 0 or high >= len(labels):
            wrong = high if high >= len(labels) else low
            raise InvalidFile(
                f"'{PLY_NAME}' holds the label {wrong}, but '{LABELS_NAME}' has {len(labels)} classes.",
                "The two files belong to different scenes.",
            )
    return SemanticScene(name or folder.name, gaussians, labels, instances)


def read_labels(path: Path) -> tuple[str, LabelMap, dict[int, Instance]]:
    """Name, classes and instances of a `labels.json`."""
    content = read_json(path)
    try:
        classes = content["classes"]
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise TypeError("'classes' is not a list of names")
        instances = {
            int(number): Instance(int(number), str(item.get("name", "")), str(item["class"]))
            for number, item in content.get("instances", {}).items()
        }
        if any(number < 1 for number in instances):
            raise ValueError("instances are numbered from 1")
        labels = LabelMap(tuple(classes)).with_names(i.class_name for i in instances.values())
    except (KeyError, TypeError, ValueError, AttributeError, InvalidInput) as error:
        raise InvalidFile(
            f"'{path}' is not a label file: {error!r}.",
            'It holds {"classes": [...], "instances": {"1": {"class": "chair", "name": "..."}}}.',
        ) from error
    return str(content.get("name", "")), labels, instances
