# SPDX-License-Identifier: GPL-3.0-or-later
"""What panels show of a result, worked out once a change: panels are drawn all the time.

Counts are those of the points as they are, not of the collections they lie in. A million points take about 10 ms, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import bpy
import numpy as np
import numpy.typing as npt
from bpy.app.handlers import persistent

from ...core.errors import InvalidInput
from .. import jobs
from ..build import attributes
from ..build.objects import INSTANCES, LABELS, RESULT, SYNONYMS, point_objects
from ..build.reading import joined_column
from .names import read_names

_DENSE = 1 << 20
"""Instance numbers up to here are counted in a table."""
_ENTRIES = 1 << 23


@dataclass(frozen=True)
class Thing:
    """An instance: how many points, and how sure their class is (None where points do not say)."""

    id: int
    name: str
    count: int
    confidence: float | None


@dataclass(frozen=True)
class ClassSummary:
    """A class: its points, how sure they are in the mean, and the things that are mostly of it, the largest first."""

    count: int
    confidence: float | None
    things: tuple[Thing, ...] = ()


@dataclass(frozen=True)
class Summary:
    """A result at a glance. chosen: points that the last question meant. damaged: a sentence on what cannot be read, or ""."""

    count: int
    classes: Mapping[str, ClassSummary] = field(default_factory=dict)
    chosen: int = 0
    damaged: str = ""


_kept: dict[str, tuple[tuple[object, ...], Summary]] = {}


def summary_of(collection: bpy.types.Collection) -> Summary:
    """What a result's collection holds, from memory where nothing changed since."""
    items = list(point_objects(collection))
    key = (
        *((item.name, item.data.session_uid, attributes.count(item.data)) for item in items),
        *(str(collection.get(name)) for name in (LABELS, SYNONYMS, INSTANCES)),
    )
    result_id = str(collection.get(RESULT, ""))
    kept = _kept.get(result_id)
    if kept is None or kept[0] != key:
        kept = _kept[result_id] = (key, _summed(collection, items))
    return kept[1]


def forget() -> None:
    """Points, names or files changed: what is shown next is worked out anew."""
    _kept.clear()


def _summed(collection: bpy.types.Collection, items: list[bpy.types.Object]) -> Summary:
    total = sum(attributes.count(item.data) for item in items)
    try:
        labels, instances = read_names(collection)
    except InvalidInput as error:
        return Summary(total, damaged=error.sentence())
    label = joined_column(items, attributes.CLASS, labels.unlabelled)
    instance = joined_column(items, attributes.INSTANCE, 0)
    sure = _confidence(items, total)
    known = (label >= 0) & (label < len(labels))
    damaged = "" if known.all() else f"{int((~known).sum()):,} points of '{collection.name}' have a class that has no name."
    label = np.where(known, label, labels.unlabelled)
    counts = np.bincount(label, minlength=len(labels))
    means = None if sure is None else np.bincount(label, sure, len(labels)) / np.maximum(counts, 1)
    things: dict[int, list[Thing]] = {}
    for number, of, count, mean in _things(instance, label, sure, len(labels)):
        one = instances.get(number)
        name = one.name if one is not None and one.name else f"{labels.names[of]} {number}"
        things.setdefault(of, []).append(Thing(number, name, count, mean))
    classes = {
        name: ClassSummary(
            int(counts[k]),
            None if means is None else float(means[k]),
            tuple(sorted(things.get(k, ()), key=lambda thing: (-thing.count, thing.id))),
        )
        for k, name in enumerate(labels.names)
        if counts[k]
    }
    return Summary(total, classes, _chosen(items), damaged)


def _things(
    instance: npt.NDArray[np.int32], label: npt.NDArray[np.int32], sure: npt.NDArray[np.float32] | None, labels: int
) -> list[tuple[int, int, int, float | None]]:
    """(number, label of most points, points, mean confidence) of each instance."""
    place, numbers = instance.clip(min=0), None
    highest = int(place.max(initial=0))
    if highest > _DENSE or highest * labels > _ENTRIES:  # hardly ever, and slower
        numbers, place = np.unique(place, return_inverse=True)
        highest = len(numbers) - 1
    counts = np.bincount(place, minlength=highest + 1)
    votes = np.bincount(place.astype(np.int64) * labels + label, minlength=(highest + 1) * labels).reshape(-1, labels)
    means = None if sure is None else np.bincount(place, sure, highest + 1) / np.maximum(counts, 1)
    found = []
    for k in np.flatnonzero(counts):
        number = int(k if numbers is None else numbers[k])
        if number:
            found.append((number, int(votes[k].argmax()), int(counts[k]), None if means is None else float(means[k])))
    return found


def _confidence(items: list[bpy.types.Object], total: int) -> npt.NDArray[np.float32] | None:
    """[N] confidence, 0 where an object has none; None where none has."""
    out, start, found = np.zeros(total, np.float32), 0, False
    for item in items:
        stop = start + attributes.count(item.data)
        attribute = item.data.attributes.get(attributes.CONFIDENCE)
        if attribute is not None and attribute.data_type == "FLOAT" and attribute.domain == "POINT":
            column = np.empty(stop - start, np.float32)
            attribute.data.foreach_get("value", column)
            out[start:stop], found = column, True
        start = stop
    return out if found else None


def _chosen(items: list[bpy.types.Object]) -> int:
    parts = [attributes.point_choice(item.data) for item in items]
    return sum(int(part.sum()) for part in parts if part is not None)


@persistent
def _on_change(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    if _kept and any(update.is_updated_geometry and isinstance(update.id, _POINTS) for update in depsgraph.updates):
        forget()


@persistent
def _on_other_time(*_arguments: object) -> None:
    forget()
    if jobs.state.place in ("classes", "ask") and not jobs.state.running:
        jobs.state.told(jobs.state.place)  # what was told was of another time


_POINTS = (bpy.types.PointCloud, bpy.types.Mesh)
_OTHER_TIMES = ("undo_post", "redo_post", "load_post")


def register() -> None:
    bpy.app.handlers.depsgraph_update_post.append(_on_change)
    for name in _OTHER_TIMES:
        getattr(bpy.app.handlers, name).append(_on_other_time)


def unregister() -> None:
    for name in _OTHER_TIMES:
        getattr(bpy.app.handlers, name).remove(_on_other_time)
    bpy.app.handlers.depsgraph_update_post.remove(_on_change)
    forget()
