# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaussians as point attributes, and back.

Two sets of names, chosen by Blender's version, so that other tools know the points without asking us:

| what       | Blender 5.2 and later (native splats)     | before (3DGS files, other splat add-ons)      |
|------------|-------------------------------------------|-----------------------------------------------|
| position   | `position`                                | `position`                                    |
| scale      | `scale` FLOAT_VECTOR, linear              | `scale_0..2` FLOAT, logarithms                |
| rotation   | `rotation` QUATERNION wxyz                | `rot_0..3` FLOAT, wxyz                        |
| colour     | `radiance:base` FLOAT4, f_dc in rgb       | `f_dc_0..2` FLOAT                             |
| opacity    | `radiance:base` FLOAT4, 0..1 in alpha     | `opacity` FLOAT, a logit                      |
| harmonics  | `radiance:sh_0..` FLOAT_VECTOR            | `f_rest_0..` FLOAT, channel after channel     |
| class      | `semantic_class` INT                      | the same                                      |
| instance   | `instance_id` INT, 0 for none             | the same                                      |
| confidence | `confidence` FLOAT, 0..1                  | the same                                      |
| words      | `semantic_words`, `semantic_shares` INT, four bytes each; `semantic_taught` INT, -1 for none | the same |
| a question | `query_score` FLOAT, 0..1; `query_chosen` BOOLEAN, of the last one asked | the same      |

`radius` is Blender's own: what a point is drawn with where nothing else draws it. Reading accepts both sets in every version,
since a .blend may be older than the Blender that opens it. Colour means f_dc as in `core.gaussians`.

A table is a dict from attribute name to (Blender's type, array): [N] or [N, C], float32 or int32, always contiguous, because
Blender copies those ten times faster than others.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any

import bpy
import numpy as np
import numpy.typing as npt

from ...core.errors import InvalidInput
from ...core.gaussians import GaussianArrays

Array = npt.NDArray[np.generic]
Table = dict[str, tuple[str, Array]]

NATIVE = bpy.app.version >= (5, 2, 0)
"""Whether new points get the names of Blender's native splats."""

CLASS, INSTANCE, CONFIDENCE = "semantic_class", "instance_id", "confidence"
WORDS, SHARES, TAUGHT = "semantic_words", "semantic_shares", "semantic_taught"
SCORE, CHOSEN = "query_score", "query_chosen"

_LOGIT_LIMIT = 15.0
_SMALLEST = np.float32(1e-12)
_DATA_KEYS = {
    "FLOAT_VECTOR": ("vector", 3),
    "FLOAT4": ("vector", 4),
    "QUATERNION": ("value", 4),
    "FLOAT": ("value", 1),
    "INT": ("value", 1),
    "BOOLEAN": ("value", 1),
}
_KINDS = {
    "position": "FLOAT_VECTOR", "scale": "FLOAT_VECTOR", "rotation": "QUATERNION", "radiance:base": "FLOAT4", CONFIDENCE: "FLOAT",
} | dict.fromkeys((CLASS, INSTANCE, WORDS, SHARES, TAUGHT), "INT")  # fmt: skip
"""What else there is: radiance:sh_0.. are vectors, the numbered ones of 3DGS files are numbers."""


def encode(gaussians: GaussianArrays) -> Table:
    """All attributes of Gaussians, in their order."""
    g = gaussians
    table: Table = {"position": ("FLOAT_VECTOR", g.means), "radius": ("FLOAT", _radius(g.scales))}
    table |= _encode_native(g) if NATIVE else _encode_classic(g)
    if g.label is not None:
        table[CLASS] = ("INT", g.label)
    if g.instance is not None:
        table[INSTANCE] = ("INT", g.instance)
    if g.confidence is not None:
        table[CONFIDENCE] = ("FLOAT", g.confidence)
    if g.words is not None and g.shares is not None:
        table[WORDS] = ("INT", _packed(g.words))
        table[SHARES] = ("INT", _packed(g.shares))
    if g.taught is not None:
        table[TAUGHT] = ("INT", g.taught)
    return {name: (kind, np.ascontiguousarray(array)) for name, (kind, array) in table.items()}


def part(table: Table, start: int, stop: int) -> Table:
    """The rows start..stop of a table, without a copy."""
    return {name: (kind, array[start:stop]) for name, (kind, array) in table.items()}


def write(data: bpy.types.ID, table: Table) -> None:
    """Set the attributes of a mesh or a point cloud that has as many points as the table has rows."""
    for name in table:
        write_one(data, table, name)


def write_one(data: bpy.types.ID, table: Table, name: str) -> None:
    """Set one attribute of a table; a million points of three numbers take some 5 ms."""
    kind, array = table[name]
    attribute = data.attributes.get(name) or data.attributes.new(name, kind, "POINT")
    attribute.data.foreach_set(_DATA_KEYS[kind][0], array.reshape(-1))


def is_points(data: bpy.types.ID | None) -> bool:
    """Whether a point cloud or mesh holds Gaussians under either set of names."""
    if not isinstance(data, (bpy.types.PointCloud, bpy.types.Mesh)):
        return False
    return "radiance:base" in data.attributes or "f_dc_0" in data.attributes


def count(data: bpy.types.ID) -> int:
    """How many points."""
    return len(data.points if isinstance(data, bpy.types.PointCloud) else data.vertices)


def point_scores(data: bpy.types.ID) -> npt.NDArray[np.float32] | None:
    """[N] how well the points fit the last question, None where none was asked."""
    return _optional(data, SCORE, "FLOAT", np.float32)


def point_choice(data: bpy.types.ID) -> npt.NDArray[np.bool_] | None:
    """[N] which points the last question meant, None where none was asked."""
    return _optional(data, CHOSEN, "BOOLEAN", bool)


def point_numbers(data: bpy.types.ID, name: str) -> npt.NDArray[np.int32] | None:
    """[N] of a whole-number attribute, None without it."""
    return _optional(data, name, "INT", np.int32)


def _optional(data: bpy.types.ID, name: str, kind: str, dtype: npt.DTypeLike) -> npt.NDArray[Any] | None:
    attribute = data.attributes.get(name)
    if attribute is None or attribute.data_type != kind or attribute.domain != "POINT":
        return None
    out = np.empty(count(data), dtype)
    attribute.data.foreach_get("value", out)
    return out


def decode(data: bpy.types.ID) -> GaussianArrays:
    """The Gaussians of a point cloud or mesh; missing or misshapen attributes raise InvalidInput."""
    return decoded({name: column(data, name) for name in stored(data)}, data.name)


def stored(data: bpy.types.ID) -> list[str]:
    """The names of the attributes that hold the Gaussians of a point cloud or mesh."""
    there = data.attributes
    if "radiance:base" in there:
        names = ["rotation", "radiance:base", *_numbered(there, "radiance:sh_"), "scale"]
    else:
        numbered = [f"{prefix}{k}" for prefix, n in (("rot_", 4), ("f_dc_", 3), ("scale_", 3)) for k in range(n)]
        names = [*numbered, *_numbered(there, "f_rest_"), "opacity"]
    return ["position", *names, *(name for name in (CLASS, INSTANCE, CONFIDENCE, WORDS, SHARES, TAUGHT) if name in there)]


def column(data: bpy.types.ID, name: str) -> Array:
    """[N] or [N, C] of one of the attributes that `stored` names; one of another type, or that is missing, raises InvalidInput."""
    return _get(data, name, _KINDS.get(name) or ("FLOAT_VECTOR" if name.startswith("radiance:") else "FLOAT"))


def decoded(columns: Mapping[str, Array], name: str) -> GaussianArrays:
    """The Gaussians that the columns of `name` hold, checked. It needs no bpy, so it may run in a thread."""
    if len({len(array) for array in columns.values()}) > 1:
        raise InvalidInput(f"The points of '{name}' were changed while they were read.", "Try again.")
    native = "radiance:base" in columns
    rotation = columns["rotation"] if native else _stacked(columns, "rot_")
    lengths = np.linalg.norm(rotation, axis=1, keepdims=True)
    rotation = np.where(lengths > 1e-6, rotation / np.maximum(lengths, 1e-6), np.float32([1, 0, 0, 0]))
    if native:
        base = columns["radiance:base"]
        rest = [columns[key] for key in _numbered(columns, "radiance:sh_")]
        sh = np.stack([base[:, :3], *rest], axis=1)
        opacities, scales = base[:, 3], columns["scale"]
    else:
        rest = _stacked(columns, "f_rest_")
        rest = rest.reshape(len(rotation), 3, rest.shape[1] // 3).transpose(0, 2, 1)
        sh = np.concatenate([_stacked(columns, "f_dc_")[:, None], rest], axis=1)
        opacities = 1 / (1 + np.exp(-columns["opacity"].astype(np.float64)))
        scales = np.exp(_stacked(columns, "scale_"))
    spoken = WORDS in columns and SHARES in columns
    gaussians = GaussianArrays(
        means=columns["position"],
        quats=np.ascontiguousarray(rotation, np.float32),
        scales=np.maximum(scales, _SMALLEST),
        opacities=np.clip(opacities, 0, 1).astype(np.float32),
        sh=np.ascontiguousarray(sh, np.float32),
        label=columns.get(CLASS),
        instance=columns.get(INSTANCE),
        confidence=columns.get(CONFIDENCE),
        words=_unpacked(columns[WORDS]) if spoken else None,
        shares=_unpacked(columns[SHARES]) if spoken else None,
        taught=columns.get(TAUGHT),
    )
    gaussians.validate()
    return gaussians


def _encode_native(g: GaussianArrays) -> Table:
    base = np.concatenate([g.sh[:, 0], g.opacities[:, None]], axis=1)
    table: Table = {
        "scale": ("FLOAT_VECTOR", g.scales),
        "rotation": ("QUATERNION", g.quats),
        "radiance:base": ("FLOAT4", base),
    }
    return table | {f"radiance:sh_{k}": ("FLOAT_VECTOR", g.sh[:, k + 1]) for k in range(g.sh.shape[1] - 1)}


def _encode_classic(g: GaussianArrays) -> Table:
    with np.errstate(divide="ignore"):
        logit = np.log(g.opacities) - np.log1p(-g.opacities)
    columns = {f"f_dc_{k}": g.sh[:, 0, k] for k in range(3)}
    rest = g.sh[:, 1:].transpose(0, 2, 1).reshape(len(g), 3 * (g.sh.shape[1] - 1))
    columns |= {f"f_rest_{k}": rest[:, k] for k in range(rest.shape[1])}
    columns["opacity"] = np.clip(logit, -_LOGIT_LIMIT, _LOGIT_LIMIT)
    log_scales = np.log(g.scales)
    columns |= {f"scale_{k}": log_scales[:, k] for k in range(3)}
    columns |= {f"rot_{k}": g.quats[:, k] for k in range(4)}
    return {name: ("FLOAT", array) for name, array in columns.items()}


def _packed(four: npt.NDArray[np.uint8]) -> Array:
    """[N, 4] bytes -> [N] int32, the first byte lowest."""
    return np.ascontiguousarray(four).view("<i4").reshape(-1).astype(np.int32, copy=False)


def _unpacked(numbers: Array) -> npt.NDArray[np.uint8]:
    """The other way round."""
    return np.ascontiguousarray(numbers.astype("<i4", copy=False)).view(np.uint8).reshape(-1, 4)


def _radius(scales: npt.NDArray[np.float32]) -> Array:
    """[N, 3] -> [N]: the mean of the two largest, which for a flat Gaussian is the size of its disc."""
    return (scales.sum(axis=1) - scales.min(axis=1)) * np.float32(0.5)


def _numbered(there: Container[str], prefix: str) -> Iterator[str]:
    """prefix0, prefix1, ... as far as they are there without a gap."""
    number = 0
    while f"{prefix}{number}" in there:
        yield f"{prefix}{number}"
        number += 1


def _stacked(columns: Mapping[str, Array], prefix: str) -> Array:
    """[N, C] of numbered columns [N]."""
    parts = [columns[name] for name in _numbered(columns, prefix)]
    return np.stack(parts, axis=1) if parts else np.zeros((len(columns["position"]), 0), np.float32)


def _get(data: bpy.types.ID, name: str, kind: str) -> Array:
    """[N] or [N, C] of one point attribute."""
    attribute = data.attributes.get(name)
    if attribute is None or attribute.data_type != kind or attribute.domain != "POINT":
        found = "missing" if attribute is None else f"{attribute.data_type} on {attribute.domain}"
        raise InvalidInput(
            f"The point attribute '{name}' of '{data.name}' is {found}, not {kind} on POINT.", "Import the result again."
        )
    key, width = _DATA_KEYS[kind]
    n = count(data)
    out = np.empty(n * width, np.int32 if kind == "INT" else np.float32)
    attribute.data.foreach_get(key, out)
    return out.reshape(n, width) if width > 1 else out
