# SPDX-License-Identifier: GPL-3.0-or-later
"""A labelled scene and its folder on disk: `scene.ply` and `labels.json`.

`labels.json` is {"name", "classes": [...], "instances": {"1": {"class", "name"}}}; a label's id is its place in `classes`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InvalidFile, InvalidInput
from .gaussians import GaussianArrays
from .labels import LabelMap
from .ply import read_ply, replacing, write_ply
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
    """Write a scene into a folder, which is made if needed; each file appears only once it is whole."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidFile(f"The folder '{folder}' cannot be made: {error.strerror}.", "Choose another folder.") from error
    write_ply(folder / PLY_NAME, scene.gaussians, strict=strict)
    content = {
        "name": scene.name,
        "classes": list(scene.labels.names),
        "instances": {str(i.id): {"class": i.class_name, "name": i.name} for i in scene.instances.values()},
    }
    write_json(folder / LABELS_NAME, content)


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


def read_json(path: Path, limit: int = 256 << 20) -> dict[str, Any]:
    """A JSON object from a file of at most `limit` bytes; anything else raises InvalidFile."""
    try:
        if path.stat().st_size > limit:
            raise InvalidFile(f"'{path}' is larger than {limit >> 20} MB.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidFile(f"'{path}' cannot be read: {error.strerror}.", "Check the path.") from error
    except (ValueError, RecursionError) as error:
        raise InvalidFile(f"'{path}' is not valid JSON: {error}.") from error
    if not isinstance(content, dict):
        raise InvalidFile(f"'{path}' holds no JSON object.")
    return content


def write_json(path: Path, content: object) -> None:
    """Write JSON; the file appears only once it is whole."""
    with replacing(path) as file:
        file.write((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode("utf-8"))
