# SPDX-License-Identifier: GPL-3.0-or-later
"""Results in a Blender scene: a labelled scene becomes collections and point objects, is replaced, and is removed.

    Room                        the result: colour, name and id
      chair (12,345)            one collection for each class that occurs, tagged with the colour nearest to the class's
        chair                   one point cloud object, in world coordinates, with the shared modifier and material
      wall (50,000)

What belongs to a result is known by custom properties, never by names, so that people may rename everything. Importing again
under the same id keeps what people set (names, visibility, colours, modifier settings, materials) and changes the points. All
goes through `bpy.data`: no selection, mode or visibility matters, nothing of Blender's is remembered here, and undo is safe.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
import numpy.typing as npt
from mathutils import Matrix

from ...core.errors import InvalidInput
from ...core.labels import UNLABELLED, label_colour
from ...core.scene import SemanticScene
from ..jobs import Step, in_thread, run_to_end
from . import attributes, nodes
from .materials import MATERIAL_NAME, SHOW_MODES, ensure_material, linear
from .points import cloud_steps, find_cloud, half_made
from .trees import STAMP

RESULT, CLASS, TITLE = "splatonym_result", "splatonym_class", "splatonym_title"
LABELS, SYNONYMS, INSTANCES, CODEBOOK = "splatonym_labels", "splatonym_synonyms", "splatonym_instances", "splatonym_codebook"
SCENE_NAME = "splatonym_name"

FAST_ABOVE = 50_000
"""With more Gaussians than this the viewport starts with points instead of ellipsoids."""


@dataclass(frozen=True)
class ResultClass:
    """One class of a result, as it is now. The references are for use at once, not to be kept over an undo."""

    name: str
    count: int
    collection: bpy.types.Collection
    objects: tuple[bpy.types.Object, ...]


@dataclass(frozen=True)
class Result:
    """A result, as it is now. The references are for use at once, not to be kept over an undo."""

    id: str
    name: str
    count: int
    collection: bpy.types.Collection
    classes: tuple[ResultClass, ...]


def build_scene(
    target: bpy.types.Scene, scene: SemanticScene, *, result_id: str | None = None, in_world: bool = False
) -> Result:
    """Put a labelled scene into a Blender scene; the result of the same id (by default the name) is replaced in place.

    in_world: the points lie where they are meant to be, whatever transforms the result's objects have now: these are cleared.
    """
    return run_to_end(build_steps(target, scene, result_id=result_id, in_world=in_world))


def build_steps(
    target: bpy.types.Scene,
    scene: SemanticScene,
    *,
    result_id: str | None = None,
    in_world: bool = False,
    check: Callable[[], object] = lambda: None,
) -> Generator[Step, None, Result]:
    """As `build_scene`, in short steps: points first, beside what is there; then, in the last step, they take their place.

    check: called before that; what it raises leaves everything as it is.
    """
    place, text = target.name, f"{len(scene.gaussians):,} Gaussians"
    result_id = result_id or scene.name or "Splatonym"

    def prepared() -> tuple[attributes.Table, list[tuple[str, int, int]]]:
        scene.gaussians.validate()
        return _partition(scene)

    table, parts = yield from in_thread(prepared, Step("Import", 0.0, text))
    tables = [attributes.part(table, start, stop) for _, start, stop in parts]
    with half_made() as names:
        for fraction in cloud_steps(tables, names):
            yield Step("Import", fraction, text)
        try:
            nodes.ensure_group()  # takes as long as all of the rest, and only the first time
            yield Step("Import", 1.0, text)
            if place not in bpy.data.scenes:
                raise InvalidInput(f"The scene '{place}' went away.", "Do not undo or open a file meanwhile; then try again.")
            check()
            clouds = [find_cloud(name) for name in names]
            return _put(bpy.data.scenes[place], scene, result_id, list(zip(parts, clouds, strict=True)), in_world)
        finally:
            remove_unused()


def _put(
    target: bpy.types.Scene,
    scene: SemanticScene,
    result_id: str,
    parts: list[tuple[tuple[str, int, int], bpy.types.PointCloud]],
    in_world: bool,
) -> Result:
    """Give points that are made their place in the result's collections: nothing here takes long, whatever their number."""
    collection = find_collection(target, result_id)
    if collection is None:
        collection = bpy.data.collections.new("Splatonym")
        target.collection.children.link(collection)
    collection[RESULT], collection[SCENE_NAME] = result_id, scene.name
    collection[LABELS] = json.dumps(scene.labels.names, ensure_ascii=False)
    collection[INSTANCES] = json.dumps([[i.id, i.name, i.class_name] for i in scene.instances.values()], ensure_ascii=False)
    synonyms = [[name, list(words)] for name, words in scene.labels.synonyms.items()]
    _keep(collection, SYNONYMS, json.dumps(synonyms, ensure_ascii=False) if synonyms else None)
    # As text: undo gives bytes back only up to their first zero (seen in 4.5).
    block = None if scene.codebook is None else base64.b64encode(scene.codebook.to_bytes()).decode("ascii")
    _keep(collection, CODEBOOK, block)
    _title(collection, scene.name or "Splatonym")

    show, fast = get_show(collection), len(scene.gaussians) > FAST_ABOVE
    if show == "ANSWER":
        show = "COLOUR"  # new points have answered nothing yet
    groups = {group.get(CLASS): group for group in reversed(_class_collections(collection))}
    kept = set()
    for (name, start, stop), cloud in parts:
        group = groups.get(name) or _new_group(collection, name)
        _title(group, f"{name} ({stop - start:,})")
        kept.add(_place(group, name, cloud, fast))
    _remove_objects([o for o in point_objects(collection) if o not in kept])
    for group in _class_collections(collection):
        if not group.all_objects and not group.children:
            bpy.data.collections.remove(group)
    if in_world:
        for item in kept:
            item.matrix_world = Matrix()
    set_show(collection, show)
    return describe(collection)


def set_answer(collection: bpy.types.Collection, scores: npt.NDArray[np.float32], chosen: npt.NDArray[np.bool_]) -> None:
    """Keep on a result's points how well each fits a question, and whether it is meant; in the order of `read_gaussians`."""
    start = 0
    for item in point_objects(collection):
        stop = start + attributes.count(item.data)
        rows = slice(start, stop)
        attributes.write(item.data, {attributes.SCORE: ("FLOAT", scores[rows]), attributes.CHOSEN: ("BOOLEAN", chosen[rows])})
        item.data.update_tag()
        start = stop


def _keep(collection: bpy.types.Collection, key: str, value: str | None) -> None:
    """Set a custom property, or remove it."""
    if value is not None:
        collection[key] = value
    elif key in collection:
        del collection[key]


def remove_result(target: bpy.types.Scene, result_id: str) -> None:
    """Remove all of a result: points, objects, collections, and with the last result the shared nodes and material.

    What people put into its collections themselves stays, in the scene's own collection.
    """
    collection = find_collection(target, result_id)
    if collection is None:
        raise InvalidInput(f"There is no result '{result_id}' in the scene '{target.name}'.", "See the list of results.")
    _remove_objects(list(point_objects(collection)))
    inside = [collection, *collection.children_recursive]
    theirs = [c for c in inside[1:] if CLASS not in c and RESULT not in c]
    ours = [c for c in inside if c not in theirs]
    for group in ours:
        for child in [c for c in group.children if c in theirs and c.name not in target.collection.children]:
            target.collection.children.link(child)
        for stranger in [o for o in group.objects if o.name not in target.collection.objects]:
            target.collection.objects.link(stranger)
    bpy.data.batch_remove(ours)
    remove_unused()


def remove_unused() -> None:
    """Remove the shared nodes and material when nothing uses them any more."""
    for group in [g for g in bpy.data.node_groups if STAMP in g and g.users == 0]:
        bpy.data.node_groups.remove(group)
    material = bpy.data.materials.get((MATERIAL_NAME, None))
    if material is not None and STAMP in material and material.users == 0:
        bpy.data.materials.remove(material)


def find_results(target: bpy.types.Scene) -> list[Result]:
    """The results in a scene, in the outliner's order."""
    return [describe(c) for c in target.collection.children_recursive if RESULT in c]


def found_again(result: Result) -> Result:
    """A result as it is now, after steps between which people may undo; one that is gone raises InvalidInput."""
    same = [
        c for c in bpy.data.collections if c.get(RESULT) == result.id
    ]  # several, where a scene was copied with all that it has
    if not same:
        raise InvalidInput(f"The result '{result.name}' went away.", "Do not remove it meanwhile; then try again.")
    return describe(next((c for c in same if c.name == result.name), same[0]))


def fingerprint(collection: bpy.types.Collection) -> object:
    """What of a result changes when people edit it: its names, and which points there are, how many and where. Cheap; read-only."""
    points = tuple(
        (item.name, attributes.count(item.data), *map(tuple, item.matrix_world)) for item in point_objects(collection)
    )
    return collection.get(LABELS), collection.get(INSTANCES), points


def unchanged(result: Result, seen: object) -> Result:
    """As `found_again`, for work on what a result was when its fingerprint was taken: one that is another now raises InvalidInput."""
    result = found_again(result)
    if fingerprint(result.collection) != seen:
        raise InvalidInput(f"The result '{result.name}' was changed meanwhile.", "Try again; it is left as you made it.")
    return result


def find_collection(target: bpy.types.Scene, result_id: str) -> bpy.types.Collection | None:
    """The collection of the result with this id, or None."""
    return next((c for c in target.collection.children_recursive if c.get(RESULT) == result_id), None)


def describe(collection: bpy.types.Collection) -> Result:
    """What a result's collection holds now."""
    classes = []
    for group in _class_collections(collection):
        objects = tuple(point_objects(group))
        classes.append(ResultClass(str(group[CLASS]), sum(attributes.count(o.data) for o in objects), group, objects))
    number = sum(attributes.count(o.data) for o in point_objects(collection))
    return Result(str(collection[RESULT]), collection.name, number, collection, tuple(classes))


def point_objects(collection: bpy.types.Collection) -> Iterator[bpy.types.Object]:
    """The objects in a collection, and in those inside, that hold Gaussians."""
    return (o for o in collection.all_objects if attributes.is_points(o.data))


def get_show(collection: bpy.types.Collection) -> str:
    """What a result shows: the identifier of one of SHOW_MODES."""
    first = next(point_objects(collection), None)
    return SHOW_MODES[int(first.get(nodes.SHOW, 0)) if first else 0][0]


def set_show(collection: bpy.types.Collection, mode: str) -> None:
    """Show colour, class, confidence or instance on all points of a result."""
    modes = [identifier for identifier, *_ in SHOW_MODES]
    if mode not in modes:
        raise InvalidInput(f"A result cannot show '{mode}'.", f"Choose one of {', '.join(modes)}.")
    for item in point_objects(collection):
        nodes.choose(item, modes.index(mode))


def get_setting(collection: bpy.types.Collection, name: str) -> Any:
    """A setting of the modifier, as the first class has it: one of `nodes.INPUTS` by name; None where there is no modifier."""
    found = (nodes.find_modifier(item) for item in point_objects(collection))
    modifier = next((m for m in found if m is not None), None)
    return None if modifier is None else nodes.get_input(modifier, name)


def set_setting(collection: bpy.types.Collection, name: str, value: Any) -> None:
    """Change a setting of the modifier for all points in a collection: a result's, or one class's."""
    for item in point_objects(collection):
        modifier = nodes.find_modifier(item)
        if modifier is not None:
            nodes.set_input(modifier, name, value)


def _partition(scene: SemanticScene) -> tuple[attributes.Table, list[tuple[str, int, int]]]:
    """All attributes sorted by class, and for each class that occurs its name and rows."""
    g = scene.gaussians
    if g.label is None:
        return attributes.encode(g), [(UNLABELLED, 0, len(g))] if len(g) else []
    if len(g) and (int(g.label.min()) < 0 or int(g.label.max()) >= len(scene.labels)):
        raise InvalidInput(
            f"The labels {int(g.label.min())}..{int(g.label.max())} do not fit a label set of {len(scene.labels)} names.",
            "Gaussians and label set belong to different scenes.",
        )
    small = g.label.astype(np.uint8)  # a label set has at most 255 names, and numpy sorts bytes in one pass
    numbers = np.bincount(small, minlength=len(scene.labels))
    occurring = np.flatnonzero(numbers)
    if len(occurring) > 1 and (small[1:] < small[:-1]).any():
        g = g.select(np.argsort(small, kind="stable"))
    ends: npt.NDArray[np.int64] = np.cumsum(numbers)
    parts = [(scene.labels.names[k], int(ends[k] - numbers[k]), int(ends[k])) for k in occurring]
    return attributes.encode(g), parts


def _class_collections(collection: bpy.types.Collection) -> list[bpy.types.Collection]:
    return [c for c in collection.children_recursive if CLASS in c]


def _new_group(parent: bpy.types.Collection, name: str) -> bpy.types.Collection:
    group = bpy.data.collections.new(name)
    group[CLASS] = name
    group.color_tag = nearest_tag(name)
    parent.children.link(group)
    return group


def _title(item: bpy.types.Collection, title: str) -> None:
    """Name a collection, unless a person renamed it since we last did."""
    if item.get(TITLE) not in (None, item.name):
        return
    item.name = title
    item[TITLE] = item.name  # what Blender made of it: shortened, or with a number


def _place(group: bpy.types.Collection, name: str, cloud: bpy.types.PointCloud, fast: bool) -> bpy.types.Object:
    """The class's point object with new points: the one that is there, or a new one."""
    item = next((o for o in point_objects(group) if o.type == "POINTCLOUD"), None)  # not one that was converted to a mesh
    if item is None:
        item = bpy.data.objects.new(name, cloud)
        cloud.name = name
        red, green, blue = (linear(channel / 255) for channel in label_colour(name))
        item.color = (red, green, blue, 1.0)
        item[CLASS] = name
        cloud.materials.append(ensure_material())
        modifier = nodes.add_modifier(item)
        nodes.set_input(modifier, nodes.MATERIAL, cloud.materials[0])
        nodes.set_input(modifier, nodes.VIEWPORT, not fast)
        group.objects.link(item)
        return item
    modifier = nodes.find_modifier(item)
    if modifier is not None:
        modifier.node_group = nodes.ensure_group()  # another, where the file comes from a Blender with other attribute names
    old = item.data
    for material in old.materials:
        cloud.materials.append(material)
    item.data = cloud
    if old.users == 0:
        title = old.name
        bpy.data.batch_remove([old])
        cloud.name = title
    return item


def _remove_objects(items: list[bpy.types.Object]) -> None:
    data = {item.data for item in items}
    bpy.data.batch_remove(items)
    bpy.data.batch_remove([points for points in data if points.users == 0])


def nearest_tag(name: str) -> str:
    """The collection colour of the person's theme that is nearest to a class's colour; none for the unlabelled."""
    if name == UNLABELLED:
        return "NONE"
    wanted = np.array(label_colour(name)) / 255
    tags = np.array([tag.color[:] for tag in bpy.context.preferences.themes[0].collection_color])
    return f"COLOR_{int(((tags - wanted) ** 2).sum(axis=1).argmin()) + 1:02d}"
