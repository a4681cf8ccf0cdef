# SPDX-License-Identifier: GPL-3.0-or-later
"""What points are, changed by hand: names, numbers on points, collections and objects stay in step.

A class is known by its name. What counts are the points: an object that a person joined out of two classes still holds both, and
whatever is done to one of them leaves the other alone. Masks are [N] bool in the order of `read_gaussians`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import bpy
import numpy as np
import numpy.typing as npt

from ...core.codebook import NOT_TAUGHT
from ...core.errors import InvalidInput, NotAvailable
from ...core.labels import UNLABELLED, LabelMap
from ...core.views import Instance
from .. import answers
from ..build import Result, describe
from ..build import attributes as columns
from ..build.materials import linear
from ..build.objects import CLASS, TITLE, nearest_tag, point_objects
from ..build.reading import joined_column
from . import summary
from .active import activate_class, active_class, groups_of
from .carving import Mask, carve, keep
from .colours import class_colour, tag_near
from .names import cleaned, known_name, merged, read_names, renamed, same_name, without_word, write_names

Numbers = npt.NDArray[np.int32]


def rename(result: Result, old: str, new: str) -> str:
    """Call a class something else; returns the name it has now. A name that another class has raises InvalidInput."""
    collection = result.collection
    labels, instances = read_names(collection)
    old, new = known_name(labels, old), cleaned(new)
    there = same_name(labels, new)
    if new == old:
        return old
    if there not in (None, old):
        if occurring(result, there):
            raise InvalidInput(f"There is a class '{there}' already.", f"Merge '{old}' into it instead.")
        _renumber(result, labels, merged(labels, old, there), {old: there})
        labels, new = merged(labels, old, there), there
    else:
        labels = renamed(labels, old, new)
    write_names(collection, labels, _follow(instances, old, new))
    for group in [g for g in groups_of(collection) if g[CLASS] == old]:
        _called(group, old, new)
    tidy(result, points_changed=False)
    return new


def merge(result: Result, source: str, target: str) -> str:
    """Make one class part of another; its name stays as another word for that. Returns the name of the other."""
    collection = result.collection
    labels, instances = read_names(collection)
    source, target = known_name(labels, source), known_name(labels, target)
    if source == target:
        raise InvalidInput(f"'{source}' cannot be merged into itself.", "Choose another class.")
    if not occurring(result, target):
        return rename(result, source, target) if source != UNLABELLED else assign(result, class_mask(result, source), target)
    after = merged(labels, source, target)
    _renumber(result, labels, after, {source: target})
    write_names(collection, after, _follow(instances, source, target))
    home = _group(collection, target)
    for group in [g for g in groups_of(collection) if g[CLASS] == source]:
        for item in list(point_objects(group)):
            _move(item, group, home, source)
    tidy(result)
    activate_class(collection, target)
    return target


def recolour(result: Result, name: str, colour: tuple[float, float, float]) -> None:
    """Give a class another colour, in linear light."""
    name = known_name(read_names(result.collection)[0], name)
    groups = [group for group in groups_of(result.collection) if group[CLASS] == name]
    if not groups:
        raise NotAvailable(f"No point is of the class '{name}'.", "Choose a class of the list.")
    for group in groups:
        group.color_tag = tag_near(colour)
        for item in point_objects(group):
            item.color = (*colour, 1.0)


def delete(result: Result, chosen: Mask) -> int:
    """Delete points; returns how many. Things that lose all their points are forgotten."""
    labels, instances = read_names(result.collection)
    before = _things(result)
    count = int(chosen.sum())
    for item, rows in _split(result, chosen):
        if rows.all():
            data = item.data
            bpy.data.batch_remove([item])
            if data.users == 0:
                bpy.data.batch_remove([data])
        elif rows.any():
            keep(item, ~rows)
    gone = before - _things(result)
    write_names(result.collection, labels, {number: one for number, one in instances.items() if number not in gone})
    tidy(result)
    return count


def assign(result: Result, chosen: Mask, name: str) -> str:
    """Say by hand what points are: they go to this class, which is made if needed. Things of which most are chosen go along."""
    collection = result.collection
    labels, instances = read_names(collection)
    name = cleaned(name)
    name = same_name(labels, name) or name
    if not chosen.any():
        raise InvalidInput("No points are chosen.", "Select points, or ask for something first.")
    labels = LabelMap(labels.with_names([name]).names, without_word(labels.synonyms, name))
    moved = {number: replace(instances[number], class_name=name) for number in _mostly(result, chosen) if number in instances}
    write_names(collection, labels, {**instances, **moved})
    home, number = _group(collection, name), labels.id_of(name)
    for item, rows in _split(result, chosen):
        if not rows.any():
            continue
        part = item if rows.all() else carve(item, rows)
        group = next((g for g in groups_of(collection) if part.name in g.objects), None)
        _say(part, number)
        _move(part, group, home, str(part.get(CLASS, "")))
    tidy(result)
    activate_class(collection, name)
    return name


def rename_instance(result: Result, number: int, name: str) -> str:
    """Call a thing something else; returns the name it has now."""
    labels, instances = read_names(result.collection)
    instance_mask(result, number)
    one = instances.get(number) or Instance(number, "", _class_of(result, labels, number))
    instances[number] = replace(one, name=cleaned(name))
    write_names(result.collection, labels, instances)
    summary.forget()
    return instances[number].name


def occurring(result: Result, name: str) -> bool:
    """Whether any point is of a class."""
    return bool(class_mask(result, name).any())


def class_mask(result: Result, name: str) -> Mask:
    """[N] which points are of a class; an unknown name raises NotAvailable."""
    labels, _ = read_names(result.collection)
    return np.asarray(_labels(result, labels) == labels.id_of(known_name(labels, name)))


def instance_mask(result: Result, number: int) -> Mask:
    """[N] which points are of a thing; one that has none raises NotAvailable."""
    found: Mask = _column(result, columns.INSTANCE, 0) == number
    if number < 1 or not found.any():
        raise NotAvailable(f"There is no instance {number} in '{result.name}'.", "Choose one of the list.")
    return found


def chosen_of(result: Result, class_name: str = "", instance: int = 0) -> Mask:
    """[N] the points of an instance, or, where that is 0, of a class."""
    return instance_mask(result, instance) if instance else class_mask(result, class_name)


def tidy(result: Result, *, points_changed: bool = True) -> None:
    """After any change: titles with counts, no empty collections, the marked class still marked, the last answer's things anew."""
    collection = result.collection
    marked = active_class(collection)
    for group in groups_of(collection):
        if not group.all_objects and not group.children:
            bpy.data.collections.remove(group)
    for group in groups_of(collection):
        number = sum(columns.count(item.data) for item in point_objects(group))
        if group.get(TITLE) in (None, group.name):  # else a person named it
            group.name = f"{group[CLASS]} ({number:,})"
            group[TITLE] = group.name
    if marked:
        activate_class(collection, marked)
    if points_changed:
        answers.refresh(describe(collection))
    summary.forget()


def _split(result: Result, chosen: Mask) -> Iterator[tuple[bpy.types.Object, Mask]]:
    """The rows of each point object."""
    items = list(point_objects(result.collection))
    ends = np.cumsum([columns.count(item.data) for item in items])
    if not len(items) or ends[-1] != len(chosen):
        raise InvalidInput("The points were changed meanwhile.", "Try again.")
    yield from zip(items, np.split(chosen, ends[:-1]), strict=True)


def _column(result: Result, name: str, default: int) -> Numbers:
    """[N] of a whole-number attribute of all points, a default where an object lacks it."""
    return joined_column(point_objects(result.collection), name, default)


def _labels(result: Result, labels: LabelMap) -> Numbers:
    return _column(result, columns.CLASS, labels.unlabelled)


def _things(result: Result) -> set[int]:
    return set(np.flatnonzero(np.bincount(_column(result, columns.INSTANCE, 0).clip(min=0))).tolist())


def _mostly(result: Result, chosen: Mask) -> list[int]:
    """The things of which more than half is chosen."""
    instance = _column(result, columns.INSTANCE, 0).clip(min=0)
    total = np.bincount(instance)
    part = np.bincount(instance, chosen, len(total))
    return [int(number) for number in np.flatnonzero(part * 2 > total) if number]


def _class_of(result: Result, labels: LabelMap, number: int) -> str:
    """What most points of a thing are."""
    here = _labels(result, labels)[_column(result, columns.INSTANCE, 0) == number]
    votes = np.bincount(here.clip(0, len(labels) - 1), minlength=len(labels))
    return labels.names[int(votes.argmax())]


def _renumber(result: Result, before: LabelMap, after: LabelMap, other: dict[str, str]) -> None:
    """Write the numbers of another list onto points; `other` says what those are now whose name is gone."""
    table = np.array([after.id_of(other.get(name, name)) for name in before.names] + [NOT_TAUGHT], np.int32)
    if np.array_equal(table[:-1], np.arange(len(before))):
        return
    for item in point_objects(result.collection):
        for name in (columns.CLASS, columns.TAUGHT):
            numbers = columns.point_numbers(item.data, name)
            if numbers is None:
                continue
            least = NOT_TAUGHT if name == columns.TAUGHT else 0
            if len(numbers) and not least <= numbers.min() <= numbers.max() < len(before):
                raise InvalidInput(
                    f"The attribute '{name}' of '{item.name}' holds numbers that are no class.",
                    f"Use {least} to {len(before) - 1}.",
                )
            new = np.take(table, numbers)  # -1 takes the last
            if not np.array_equal(new, numbers):
                columns.write(item.data, {name: ("INT", new)})
                item.data.update_tag()


def _say(item: bpy.types.Object, number: int) -> None:
    """Write what a person said onto all points of an object: sure, and, where a result can be asked, taught."""
    count = columns.count(item.data)
    columns.write(item.data, {columns.CLASS: ("INT", np.full(count, number, np.int32))})
    if columns.CONFIDENCE in item.data.attributes:
        columns.write(item.data, {columns.CONFIDENCE: ("FLOAT", np.ones(count, np.float32))})
    if columns.WORDS in item.data.attributes:
        columns.write(item.data, {columns.TAUGHT: ("INT", np.full(count, number, np.int32))})
    item.data.update_tag()


def _group(collection: bpy.types.Collection, name: str) -> bpy.types.Collection:
    """The collection of a class, made if needed."""
    found = next((group for group in groups_of(collection) if group[CLASS] == name), None)
    if found is None:
        found = bpy.data.collections.new(name)
        found[CLASS], found[TITLE] = name, found.name
        found.color_tag = nearest_tag(name)
        collection.children.link(found)
    return found


def _move(item: bpy.types.Object, group: bpy.types.Collection | None, home: bpy.types.Collection, old: str) -> None:
    """Move a point object to the collection of another class, whose name and colour it takes."""
    if group is not None and group is not home and item.name in group.objects:
        group.objects.unlink(item)
    model = next((other for other in point_objects(home) if other != item), None)
    if item.name not in home.objects:
        home.objects.link(item)
    name = str(home[CLASS])
    if old != name or CLASS not in item:
        item[CLASS] = name
        item.color = model.color[:] if model else (*(linear(c / 255) for c in class_colour(name)), 1.0)
        _follow_name(item, old, name)


def _called(group: bpy.types.Collection, old: str, new: str) -> None:
    """A class's collection and objects under the class's new name; colours stay."""
    group[CLASS] = new
    for item in point_objects(group):
        if item.get(CLASS) == old:
            item[CLASS] = new
        _follow_name(item, old, new)


def _follow_name(item: bpy.types.Object, old: str, new: str) -> None:
    """An object that is called as its class was, is called as its class is; what a person named keeps its name."""
    if old and re.fullmatch(re.escape(old) + r"(\.\d+)?", item.name):
        item.name = new
        item.data.name = new


def _follow(instances: dict[int, Instance], old: str, new: str) -> dict[int, Instance]:
    """Instances of a class under its new name; "chair 3" becomes "seat 3"."""
    out = {}
    for number, one in instances.items():
        if one.class_name == old:
            plain = re.fullmatch(rf"{re.escape(old)} (\d+)", one.name)
            one = replace(one, class_name=new, name=f"{new} {plain[1]}" if plain else one.name)
        out[number] = one
    return out


def told_points(result: Result, chosen: Mask) -> str:
    """What points are, in a sentence: the share of each class, and the things that they belong to."""
    labels, instances = read_names(result.collection)
    counts = np.bincount(_labels(result, labels)[chosen].clip(0, len(labels) - 1), minlength=len(labels))
    total = int(counts.sum())
    most = [k for k in np.argsort(-counts, kind="stable")[:3].tolist() if counts[k]]
    shares = ", ".join(f"{labels.names[k]} ({counts[k] / total:.0%})" for k in most)
    things = np.bincount(_column(result, columns.INSTANCE, 0)[chosen].clip(min=0))
    named = [k for k in np.argsort(-things, kind="stable").tolist() if k and things[k]]
    first = [instances[k].name if k in instances and instances[k].name else f"instance {k}" for k in named[:3]]
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
    return f"{total:,} points: {shares}." + (f" Of {', '.join(first)}{more}." if first else "")
