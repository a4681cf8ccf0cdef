# SPDX-License-Identifier: GPL-3.0-or-later
"""The points of a result are hidden while the live view shows it, and are there again afterwards.

Hidden with the eye of the outliner, in the view layers that are looked at. What was hidden is written down on the result's collection, so
that it is shown again whatever happens: after undo, or in a file that was saved by an autosave while the live view was on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import bpy

HIDDEN = "splatonym_live_hidden"
"""The custom property of a result's collection: JSON list of [scene, view layer] in which we have hidden it."""


def hide(scene: bpy.types.Scene, layer: bpy.types.ViewLayer, collection: bpy.types.Collection) -> None:
    """Hide a result in a view layer, unless it is hidden."""
    found = find_layer_collection(layer.layer_collection, collection)
    if found is not None and not found.hide_viewport:
        found.hide_viewport = True
        collection[HIDDEN] = json.dumps([*_written(collection), [scene.name, layer.name]])


def show_again(*, but: tuple[str, ...] = ()) -> None:
    """Show all that is hidden by us, but the results' collections of these names."""
    for collection in [c for c in bpy.data.collections if HIDDEN in c and c.name not in but]:
        for scene_name, layer_name in _written(collection):
            scene = bpy.data.scenes.get(scene_name)
            layer = scene.view_layers.get(layer_name) if scene is not None else None
            found = find_layer_collection(layer.layer_collection, collection) if layer is not None else None
            if found is not None:
                found.hide_viewport = False
        del collection[HIDDEN]


def shown_points(layer: bpy.types.ViewLayer, collection: bpy.types.Collection) -> set[str]:
    """Names of the objects of a result that a person has not hidden; whether the result as a whole is hidden does not count."""
    top = find_layer_collection(layer.layer_collection, collection)
    return set() if top is None else set(_shown(top, layer))


def _shown(parent: bpy.types.LayerCollection, layer: bpy.types.ViewLayer) -> Iterator[str]:
    for item in parent.collection.objects:
        if not item.hide_viewport and not item.hide_get(view_layer=layer):
            yield item.name
    for child in parent.children:
        if not (child.exclude or child.hide_viewport or child.collection.hide_viewport):
            yield from _shown(child, layer)


def find_layer_collection(
    parent: bpy.types.LayerCollection, collection: bpy.types.Collection
) -> bpy.types.LayerCollection | None:
    """A collection as a view layer has it, or None."""
    if parent.collection == collection:
        return parent
    found = (find_layer_collection(child, collection) for child in parent.children)
    return next((one for one in found if one is not None), None)


def _written(collection: bpy.types.Collection) -> list[list[str]]:
    try:
        return [[str(scene), str(layer)] for scene, layer in json.loads(collection.get(HIDDEN, "[]"))]
    except (TypeError, ValueError):  # somebody wrote something else there
        return []
