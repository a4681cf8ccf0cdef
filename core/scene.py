# SPDX-License-Identifier: GPL-3.0-or-later
"""A labelled scene and its folder on disk: `scene.ply`, `labels.json` and, where there is a codebook, `semantics.safetensors`.

`labels.json` is {"name", "classes": [...], "synonyms": {"sofa": ["couch"]}, "instances": {"1": {"class", "name"}}}; a label's id is its
place in `classes`. `semantics.safetensors` holds the codebook's "specific" and "context" [K, D] and the Gaussians' "words", "shares" [N, 4]
and "taught" [N].
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from .codebook import NOT_TAUGHT, PAIRS, Codebook
from .errors import InvalidFile, InvalidInput
from .files import read_json, replacing, staged_folder, write_json
from .gaussians import GaussianArrays
from .labels import LabelMap
from .ply import read_ply, write_ply
from .tensors import Array, dumps, loads
from .views import Instance

PLY_NAME, LABELS_NAME, SEMANTICS_NAME = "scene.ply", "labels.json", "semantics.safetensors"
_SEMANTICS_MOST = 4 << 30


@dataclass(frozen=True)
class SemanticScene:
    """Gaussians, what their label ids mean, and what their instance numbers are.

    codebook: what the Gaussians' words are, where the scene can be asked; None elsewhere.
    """

    name: str
    gaussians: GaussianArrays
    labels: LabelMap
    instances: Mapping[int, Instance] = field(default_factory=dict)
    codebook: Codebook | None = None

    def validate_words(self) -> None:
        """Raise InvalidInput unless the Gaussians' words are in the codebook, and what was taught among the labels."""
        g = self.gaussians
        if self.codebook is not None and g.words is None:
            raise InvalidInput("The scene has a codebook, but its Gaussians have no words.", "Describe it again.")
        if g.words is not None and g.shares is not None and g.shares.any():
            known, highest = len(self.codebook or ()), int(g.words[g.shares > 0].max())
            if highest >= known:
                raise InvalidInput(f"A Gaussian has word {highest}, and the codebook has {known}.", "Describe it again.")
        if g.taught is not None and len(g) and not NOT_TAUGHT <= g.taught.min() <= g.taught.max() < len(self.labels):
            raise InvalidInput(f"A Gaussian was taught a label that is none of the {len(self.labels)}.", "Teach it again.")

    def counts(self) -> dict[str, int]:
        """Gaussians of each class that occurs, by name, in the order of the label set."""
        if self.gaussians.label is None:
            return {}
        numbers = np.bincount(self.gaussians.label, minlength=len(self.labels))
        return {name: int(n) for name, n in zip(self.labels.names, numbers, strict=True) if n}


def write_scene(folder: str | os.PathLike[str], scene: SemanticScene, *, strict: bool = False) -> None:
    """Write a scene into a folder, which is made if needed: all files, or on an error none."""
    content = {
        "name": scene.name,
        "classes": list(scene.labels.names),
        **({"synonyms": {name: list(words) for name, words in scene.labels.synonyms.items()}} if scene.labels.synonyms else {}),
        "instances": {str(i.id): {"class": i.class_name, "name": i.name} for i in scene.instances.values()},
    }
    with staged_folder(Path(folder)) as stage:
        write_ply(stage / PLY_NAME, scene.gaussians, strict=strict)
        write_json(stage / LABELS_NAME, content)
        if scene.codebook is not None:
            with replacing(stage / SEMANTICS_NAME) as file:
                file.write(_semantics(scene.gaussians, scene.codebook))
    if scene.codebook is None:
        (Path(folder) / SEMANTICS_NAME).unlink(missing_ok=True)  # of the scene that was there before


def _semantics(g: GaussianArrays, codebook: Codebook) -> bytes:
    assert g.words is not None and g.shares is not None
    taught = np.full(len(g), NOT_TAUGHT, np.int32) if g.taught is None else g.taught
    arrays: dict[str, Array] = {
        "specific": codebook.specific,
        "context": codebook.context,
        "words": g.words,
        "shares": g.shares,
    }
    return dumps(arrays | {"taught": (taught % 256).astype(np.uint8)}, codebook.metadata)  # -1 becomes 255, which is no label


def read_scene(folder: str | os.PathLike[str]) -> SemanticScene:
    """Read what `write_scene` wrote; a folder without the first two files, or with others' content, raises InvalidFile."""
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
    scene = SemanticScene(name or folder.name, gaussians, labels, instances)
    path = folder / SEMANTICS_NAME
    return _with_semantics(scene, path) if path.is_file() else scene


def _with_semantics(scene: SemanticScene, path: Path) -> SemanticScene:
    """The scene with its codebook; a file that is damaged, or of other Gaussians, raises InvalidFile."""
    again = "Label the scene again, or remove the file."
    n = len(scene.gaussians)
    try:
        if path.stat().st_size > _SEMANTICS_MOST:
            raise InvalidFile(f"'{path}' is too large ({path.stat().st_size:,} bytes).", again)
        arrays, about = loads(path.read_bytes(), f"'{path}'")
    except OSError as error:
        raise InvalidFile(f"'{path}' cannot be read: {error.strerror}.", again) from error
    codebook = Codebook.from_arrays(arrays, about, f"'{path}'")
    for name, shape in (("words", (n, PAIRS)), ("shares", (n, PAIRS)), ("taught", (n,))):
        found = arrays.get(name)
        if found is None or found.shape != shape or found.dtype != np.uint8:
            size = "missing" if found is None else f"{found.dtype} {found.shape}"
            raise InvalidFile(f"'{path}': '{name}' is {size}; the scene has {n:,} Gaussians.", again)
    taught = arrays["taught"].astype(np.int32)
    taught[taught == 255] = NOT_TAUGHT
    gaussians = replace(scene.gaussians, words=arrays["words"], shares=arrays["shares"], taught=taught)
    scene = replace(scene, gaussians=gaussians, codebook=codebook)
    try:
        scene.validate_words()
    except InvalidInput as error:
        raise InvalidFile(f"'{path}' does not fit: {error.message}", again) from error
    return scene


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
        synonyms = {str(name): tuple(map(str, words)) for name, words in content.get("synonyms", {}).items()}
        labels = LabelMap(tuple(classes), synonyms).with_names(i.class_name for i in instances.values())
    except (KeyError, TypeError, ValueError, AttributeError, InvalidInput) as error:
        raise InvalidFile(
            f"'{path}' is not a label file: {error!r}.",
            'It holds {"classes": [...], "instances": {"1": {"class": "chair", "name": "..."}}}.',
        ) from error
    return str(content.get("name", "")), labels, instances
