# SPDX-License-Identifier: GPL-3.0-or-later
"""The scene's own objects, each as a whole: what Gaussians say it is, what it should be called, and whether it is meant.

An object is asked at 512 points of its visible surface. It is what most of the Gaussians beside them are.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import bpy
import numpy as np
import numpy.typing as npt

from ...core.errors import InvalidInput, NotAvailable
from ...core.labels import LabelMap, split_words
from ...core.scene import SemanticScene
from ...core.voting import Numbers, Samples, spread
from ..build import Result, found_again
from ..build.attributes import count, is_points
from ..build.objects import point_objects
from ..jobs import Step, in_thread
from .nearby import Nearby, read_labelled
from .surfaces import Triangles, choose_objects, find, visible_surface

POINTS = 512
LEAST_SEEN = 0.02
"""An object with Gaussians at less of its surface only touches something that was seen."""

_GIVEN_BY_BLENDER = (
    "Cube", "Sphere", "Icosphere", "Cylinder", "Cone", "Torus", "Plane", "Circle", "Grid", "Suzanne", "Mesh", "Object", "Curve",
    "Surface", "Text", "Mball",
)  # fmt: skip
_SAYS_NOTHING = (
    "cube|ico|icosphere|uv|sphere|cylinder|cone|torus|plane|circle|grid|suzanne|mesh|meshes|object|objects|curve|surface|surf|text"
    "|mball|bezier|nurbs|path|patch|geometry|geom|node|shape|primitive|prim|poly|polygon|polygons|group|model|part|component"
    "|element|entity|instance|item|body|solid|box|line|default|material|mat|unnamed|untitled|noname|root|scene|import|imported"
    "|obj|gltf|glb|fbx|stl|ply|usd|dae|sub|submesh|subset|face|faces|lod|copy|new|tmp|temp|id"
)


class Rename(NamedTuple):
    """An object's name and the one that it should have; confidence: the share of its Gaussians that say so, 0..1."""

    old: str
    new: str
    confidence: float


@dataclass(frozen=True)
class Looked:
    """What is beside an object. seen: share of its surface with Gaussians beside it. near, weight: [P] Gaussians and their votes."""

    name: str
    seen: float
    near: Numbers
    weight: npt.NDArray[np.floating]


@dataclass(frozen=True)
class Called:
    """What an object is called: the share of each class, the largest first, and of how much of its surface that is known."""

    name: str
    shares: Mapping[str, float]
    seen: float


def look(context: bpy.types.Context, scene: SemanticScene, names: Sequence[str]) -> Generator[Step, None, list[Looked]]:
    """What is beside each object, in the order of the names."""
    nearby = yield from Nearby.of(scene.gaussians)
    out = []
    for place, name in enumerate(names):
        step = Step("Objects", place / len(names), name)
        triangles = visible_surface(context, find(context, name))
        samples = yield from in_thread(partial(_samples, triangles), step)
        ballots = yield from nearby.ask(samples, step, 1 / len(names))
        some = ballots.weight > 0
        seen = some.any(axis=1).sum() / max(len(samples.face), 1)
        out.append(Looked(name, float(seen), ballots.near[some], ballots.weight[some]))
    return out


def _samples(triangles: Triangles) -> Samples:
    return spread(triangles.surface().as_one(), np.array([POINTS]))


def shares(looked: Looked, values: Numbers, number: int) -> npt.NDArray[np.float64]:
    """[number] how much of what is beside an object has each value, by the Gaussians' values [N]: they add up to 1.

    All are zero for an object that the Gaussians do not show.
    """
    if looked.seen < LEAST_SEEN:
        return np.zeros(number)
    votes = np.bincount(values[looked.near], looked.weight, number)
    return votes / votes.sum()


def what_is(context: bpy.types.Context, result: Result, *, selected: bool = True) -> Generator[Step, None, list[Called]]:
    """What objects are called, those among the result's own points as well."""
    own = _looked_points(result, context.selected_objects if selected else [])  # the rows that are read now
    scene = yield from read_labelled(result)
    names = [] if own and not _others(context) else choose_objects(context, selected).names
    looked = own + (yield from look(context, scene, names)) if names else own
    return [_called(each, scene) for each in looked]


def preview_names(
    context: bpy.types.Context, result: Result, *, selected: bool = False, only_unnamed: bool = True, least: float = 0.5
) -> Generator[Step, None, list[Rename]]:
    """The new names that objects would get, and how sure they are. Nothing is changed; `apply_names` does that.

    only_unnamed: leave alone what has a name that says something. least: the share of its Gaussians that must say what an
    object is. Objects from libraries keep their names.
    """
    scene = yield from read_labelled(result)
    mine = [find(context, name) for name in choose_objects(context, selected).names]
    names = [o.name for o in mine if o.library is None and not (only_unnamed and not is_unnamed(o.name, scene.labels))]
    looked = yield from look(context, scene, names)
    taken, out = {item.name for item in bpy.data.objects}, []
    for each in looked:
        class_name, share = _majority(each, scene)
        base = class_name.encode()[:59].decode(errors="ignore")  # names have 63 bytes in Blender up to 4.5
        if not class_name or share < least or re.fullmatch(re.escape(base) + r"(\.\d+)?", each.name):
            continue
        new = next(name for name in (f"{base}.{number:03d}" for number in itertools.count(1)) if name not in taken)
        taken.add(new)
        out.append(Rename(each.name, new, share))
    return out


def apply_names(context: bpy.types.Context, renames: Iterable[Rename]) -> int:
    """Rename objects as previewed, all or, where one of them is gone, none; returns how many."""
    items = [(find(context, rename.old), rename.new) for rename in renames]
    for item, name in items:
        item.name = name
    return len(items)


def is_unnamed(name: str, labels: LabelMap) -> bool:
    """Whether an object's name says nothing of what it is: a default of Blender or of an importer, and no label's name."""
    translated = {word for given in _GIVEN_BY_BLENDER for word in split_words(bpy.app.translations.pgettext_data(given))}
    words = [word for word in split_words(name) if len(word) > 1]
    return all(re.fullmatch(_SAYS_NOTHING, word) or word in translated for word in words) and labels.match(name) is None


def find_class(scene: SemanticScene, name: str) -> int:
    """The id of a class by its name, whatever its case, or by another word for it; an unknown one raises NotAvailable."""
    wanted = " ".join(name.split())
    known = next((own for own in scene.labels.names if own.casefold() == wanted.casefold()), None)
    return scene.labels.id_of(known or scene.labels.match(wanted) or wanted)


def of_class(scene: SemanticScene, name: str) -> npt.NDArray[np.bool_]:
    """[N] which Gaussians are of a class."""
    assert scene.gaussians.label is not None
    return scene.gaussians.label == find_class(scene, name)


def of_instance(scene: SemanticScene, number: int) -> npt.NDArray[np.bool_]:
    """[N] which Gaussians are of an instance; one that does not occur raises NotAvailable."""
    numbers = scene.gaussians.instance
    if numbers is None or number < 1 or not (numbers == number).any():
        there = [] if numbers is None else np.unique(numbers[numbers > 0]).tolist()
        known = f"Instances: {', '.join(map(str, there[:20]))}{', ...' if len(there) > 20 else ''}."
        raise NotAvailable(f"There is no instance {number} in the result.", known if there else "It has no instances at all.")
    return numbers == number


def meant(context: bpy.types.Context, scene: SemanticScene, chosen: npt.NDArray[np.bool_]) -> Generator[Step, None, list[str]]:
    """The visible objects beside which most Gaussians are chosen [N] bool."""
    looked = yield from look(context, scene, choose_objects(context, False).names)
    return [each.name for each in looked if shares(each, chosen.astype(np.int64), 2)[1] > 0.5]


def similar(context: bpy.types.Context, result: Result) -> Generator[Step, None, tuple[str, list[str]]]:
    """The class of the active object, and the visible objects that most of their Gaussians say are of it."""
    active = context.view_layer.objects.active
    if active is None:
        raise InvalidInput("There is no active object.", "Click one.")
    names, mine = choose_objects(context, False).names, active.name
    own = _looked_points(result, [active])  # the rows that are read now
    if not own and mine not in names:
        raise InvalidInput(f"The active object '{mine}' has no visible surface.", "Click a visible mesh.")
    scene = yield from read_labelled(result)
    looked = yield from look(context, scene, names)
    class_of = {each.name: _majority(each, scene)[0] for each in (*own, *looked)}
    wanted = class_of[mine]
    if not wanted:
        raise InvalidInput(f"The result does not say what '{mine}' is.", "Click an object that its Gaussians show.")
    return wanted, [name for name in names if class_of[name] == wanted]


def select(context: bpy.types.Context, names: Iterable[str], *, extend: bool = False) -> int:
    """Select objects, and no others unless extended; one of them becomes active. Returns how many."""
    items = [find(context, name) for name in names]
    if not extend:
        for item in context.view_layer.objects:
            item.select_set(False)
    for item in items:
        item.select_set(True)
    if items and context.view_layer.objects.active not in items:
        context.view_layer.objects.active = items[0]
    return len(items)


def _others(context: bpy.types.Context) -> bool:
    """Whether something other than points is selected."""
    return any(not is_points(item.data) for item in context.selected_objects)


def _looked_points(result: Result, items: Iterable[bpy.types.Object]) -> list[Looked]:
    """A result's own point objects among others: each is beside itself."""
    out, start, wanted = [], 0, set(items)
    for item in point_objects(found_again(result).collection):
        stop = start + count(item.data)
        if item in wanted and stop > start:
            out.append(Looked(item.name, 1.0, np.arange(start, stop), np.ones(stop - start)))
        start = stop
    return out


def _majority(looked: Looked, scene: SemanticScene) -> tuple[str, float]:
    """The class that most of an object's Gaussians have, and how much of all that is; "" if they have none."""
    assert scene.gaussians.label is not None
    found = shares(looked, scene.gaussians.label, len(scene.labels))
    best = int(found.argmax())
    return ("", 0.0) if not found[best] or best == scene.labels.unlabelled else (scene.labels.names[best], float(found[best]))


def _called(looked: Looked, scene: SemanticScene) -> Called:
    assert scene.gaussians.label is not None
    found = shares(looked, scene.gaussians.label, len(scene.labels))
    order = [k for k in np.argsort(-found, kind="stable").tolist() if found[k] > 0]
    return Called(looked.name, {scene.labels.names[k]: float(found[k]) for k in order}, looked.seen)
