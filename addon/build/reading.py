# SPDX-License-Identifier: GPL-3.0-or-later
"""Point objects back to Gaussians, as they are now: after points or objects were deleted, moved, joined or relabelled.

The objects' transforms are applied, so what is read lies in world coordinates again. Under a rotation or a uneven scale the
view-dependent part of colour (harmonics above degree 0) keeps the object's own axes. Modifiers are not applied.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from typing import Any

import bpy
import numpy as np
import numpy.typing as npt

from ...core.codebook import NOT_TAUGHT, Codebook
from ...core.errors import InvalidInput
from ...core.gaussians import GaussianArrays
from ...core.labels import UNLABELLED, LabelMap
from ...core.scene import SemanticScene
from ...core.views import Instance
from ..jobs import Step, in_thread, run_to_end
from . import attributes
from .objects import CODEBOOK, INSTANCES, LABELS, SCENE_NAME, SYNONYMS, point_objects

FloatArray = npt.NDArray[np.floating]


def read_gaussians(collection: bpy.types.Collection) -> SemanticScene:
    """The labelled scene that a result's collection holds."""
    return run_to_end(read_steps(collection))


def read_steps(collection: bpy.types.Collection) -> Generator[Step, None, SemanticScene]:
    """As `read_gaussians`, in short steps; a collection or points that go away meanwhile raise InvalidInput."""
    name = collection.name
    items = [(item.name, np.array(item.matrix_world)) for item in point_objects(collection)]
    columns: list[dict[str, attributes.Array]] = []
    for place, (item, _) in enumerate(items):
        columns.append({})
        for key in attributes.stored(_found(item).data):
            yield Step("Read", place / len(items), name)
            columns[-1][key] = attributes.column(_found(item).data, key)
    if name not in bpy.data.collections:
        raise InvalidInput(f"'{name}' was removed or renamed while it was read.", "Try again.")
    collection = bpy.data.collections[name]
    labels, instances = stored_names(collection)
    block, title = collection.get(CODEBOOK), str(collection.get(SCENE_NAME, name))

    def assembled() -> SemanticScene:
        named = zip(columns, items, strict=True)
        parts = [transformed(attributes.decoded(found, item), matrix) for found, (item, matrix) in named]
        gaussians = joined(parts, labels.unlabelled)
        _check_labels(gaussians, labels, name)
        codebook = _codebook(block, name) if gaussians.words is not None and block is not None else None
        scene = SemanticScene(title, gaussians, labels, instances, codebook)
        scene.validate_words()
        return scene

    return (yield from in_thread(assembled, Step("Read", 1.0, name)))


def _found(name: str) -> bpy.types.Object:
    item = bpy.data.objects.get(name)
    if item is None or not attributes.is_points(item.data):
        raise InvalidInput(f"The points of '{name}' were removed or renamed while they were read.", "Try again.")
    return item


def _check_labels(gaussians: GaussianArrays, labels: LabelMap, name: str) -> None:
    if gaussians.label is not None and len(gaussians):
        low, high = int(gaussians.label.min()), int(gaussians.label.max())
        if low < 0 or high >= len(labels):
            raise InvalidInput(
                f"'{name}' has a point of class {low if low < 0 else high}, but {len(labels)} classes.",
                f"The attribute '{attributes.CLASS}' holds numbers from 0 to {len(labels) - 1}.",
            )


def stored_names(collection: bpy.types.Collection) -> tuple[LabelMap, dict[int, Instance]]:
    """What the numbers on a result's points mean."""
    synonyms = {name: tuple(words) for name, words in _stored(collection, SYNONYMS, [])}
    labels = LabelMap(tuple(_stored(collection, LABELS, [UNLABELLED])), synonyms)
    return labels, {number: Instance(number, name, of) for number, name, of in _stored(collection, INSTANCES, [])}


def joined_column(items: Iterable[bpy.types.Object], name: str, default: int = 0) -> npt.NDArray[np.int32]:
    """[N] of a whole-number attribute of all points of some objects, the default where one lacks it."""
    parts = [np.zeros(0, np.int32)]
    for item in items:
        found = attributes.point_numbers(item.data, name)
        parts.append(np.full(attributes.count(item.data), default, np.int32) if found is None else found)
    return np.concatenate(parts)


def _codebook(block: object, name: str) -> Codebook:
    """What the points' words are, as the result's collection keeps it."""
    try:
        whole = base64.b64decode(block, validate=True)  # type: ignore[arg-type]  # of another type: a TypeError
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            f"The custom property '{CODEBOOK}' of '{name}' is damaged: {error}.", "Describe the result again."
        ) from error
    return Codebook.from_bytes(whole, f"The codebook of '{name}'")


def transformed(g: GaussianArrays, matrix: npt.ArrayLike) -> GaussianArrays:
    """Gaussians under an affine 4x4 matrix; the identity gives the very same arrays."""
    M = np.array(matrix, dtype=np.float64)
    if np.array_equal(M, np.eye(4)) or not len(g):
        return g
    A = M[:3, :3]
    if abs(np.linalg.det(A)) < 1e-30:
        raise InvalidInput("An object's scale is zero, so its points have no size.", "Give it a scale again.")
    means = (g.means @ A.T + M[:3, 3]).astype(np.float32)
    if np.array_equal(A, np.eye(3)):
        return replace(g, means=means)
    # The columns of A R S span the ellipsoid; its new axes and lengths are the left singular vectors and the singular values.
    axes, lengths, _ = np.linalg.svd(A @ (_matrices(g.quats.astype(np.float64)) * g.scales[:, None, :]))
    axes[:, :, 2] *= np.sign(np.linalg.det(axes))[:, None]
    return replace(
        g, means=means, quats=_quaternions(axes).astype(np.float32), scales=np.maximum(lengths, 1e-12).astype(np.float32)
    )


def joined(parts: Sequence[GaussianArrays], unlabelled: int) -> GaussianArrays:
    """Parts one after the other; what only some of them have is filled: unlabelled, no instance, no confidence, flat colour."""
    if not parts:
        empty = np.zeros((0, 3), np.float32)
        return GaussianArrays(
            empty, np.zeros((0, 4), np.float32), empty, np.zeros(0, np.float32), np.zeros((0, 1, 3), np.float32)
        )
    bands = max(g.sh.shape[1] for g in parts)
    filled: dict[str, Any] = {
        name: np.concatenate([getattr(g, name) for g in parts]) for name in ("means", "quats", "scales", "opacities")
    }
    filled["sh"] = np.concatenate([np.pad(g.sh, ((0, 0), (0, bands - g.sh.shape[1]), (0, 0))) for g in parts])
    defaults: tuple[tuple[str, int, type[np.generic], tuple[int, ...]], ...] = (
        ("label", unlabelled, np.int32, ()), ("instance", 0, np.int32, ()), ("confidence", 0, np.float32, ()),
        ("words", 0, np.uint8, (4,)), ("shares", 0, np.uint8, (4,)), ("taught", NOT_TAUGHT, np.int32, ()),
    )  # fmt: skip
    for name, default, dtype, more in defaults:
        columns = [getattr(g, name) for g in parts]
        if any(column is not None for column in columns):
            rows = [np.full((len(g), *more), default, dtype) if c is None else c for g, c in zip(parts, columns, strict=True)]
            filled[name] = np.concatenate(rows)
    return GaussianArrays(**filled)


def _stored(collection: bpy.types.Collection, key: str, default: list[Any]) -> list[Any]:
    """A list kept as JSON in a custom property."""
    try:
        content = json.loads(collection.get(key, "null"))
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            f"The custom property '{key}' of '{collection.name}' is damaged: {error}.", "Import again."
        ) from error
    return default if content is None else content


def _matrices(q: FloatArray) -> FloatArray:
    """Unit quaternions wxyz [N, 4] -> rotation matrices [N, 3, 3]."""
    w, x, y, z = q.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def _quaternions(R: FloatArray) -> FloatArray:
    """Rotation matrices [N, 3, 3] -> unit quaternions wxyz [N, 4].

    The outer product of the quaternion with itself is linear in R: the row with the largest diagonal entry is the quaternion,
    scaled, and never near zero.
    """
    t = np.trace(R, axis1=1, axis2=2)
    outer = np.empty((len(R), 4, 4))
    outer[:, 0, 0] = 1 + t
    for i, (j, k) in enumerate(((1, 2), (2, 0), (0, 1))):
        outer[:, i + 1, i + 1] = 1 + 2 * R[:, i, i] - t
        outer[:, 0, i + 1] = outer[:, i + 1, 0] = R[:, k, j] - R[:, j, k]
        outer[:, j + 1, k + 1] = outer[:, k + 1, j + 1] = R[:, k, j] + R[:, j, k]
    best = np.argmax(np.einsum("nii->ni", outer), axis=1)
    q = outer[np.arange(len(R)), best]
    return q / np.linalg.norm(q, axis=1, keepdims=True)
