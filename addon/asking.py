# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and questions for results that are there, as steps: the result's points go to the server as they are now, answers come back."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np

from ..core import labels as label_sets
from ..core.errors import NotAvailable
from ..core.protocol import Arrays, pack_labels, pack_scene, pack_views, unpack_naming
from ..core.scene import SemanticScene
from . import connection
from .answers import Found, chosen_points, keep_answer
from .build import Result, build_steps, fingerprint, found_again, read_steps, set_show, unchanged
from .capture import choose_cameras
from .classes.active import active_collection
from .jobs import Step, in_thread
from .labelling import LabelOptions, capture_steps, free_server, server_steps
from .properties import follow

Answered = tuple[dict[str, Any], Arrays]


@dataclass(frozen=True)
class Named:
    """A result under other names, and sentences for the person."""

    scene: SemanticScene
    notes: str = ""


def describe_result(context: bpy.types.Context, result: Result, options: LabelOptions) -> Generator[Step, None, Named]:
    """Render cameras and have a model say what they show of a result; then name it by `options.names`, or as it is named already."""
    labels = label_sets.from_text(options.names) if options.names.strip() else None
    shots = choose_cameras(context, options.camera_source, names=options.camera_names)
    connection.client()  # a missing server is said before anything is rendered
    captured = yield from capture_steps(context, shots, options)
    views, arrays = pack_views(captured.views)
    params = {"views": views, "label_options": {"model": options.model, "regions": options.regions}}
    return (yield from _renamed(context, result, "describe", params | (pack_labels(labels) if labels else {}), arrays))


def relabel_result(context: bpy.types.Context, result: Result, names: str) -> Generator[Step, None, Named]:
    """Give a result that was described other names."""
    return (yield from _renamed(context, result, "relabel", pack_labels(label_sets.from_text(names)), {}))


def teach_result(context: bpy.types.Context, result: Result, name: str, things: Sequence[int]) -> Generator[Step, None, Named]:
    """Say what some things are, or without any the points that the last question meant; what is like them follows. "" takes it back."""
    arrays: dict[str, Any] = {}
    if not things:
        arrays["gaussians"] = np.flatnonzero(chosen_points(result)).astype(np.int32)
    return (yield from _renamed(context, result, "teach", {"name": name, "instances": list(things)}, arrays))


def ask_result(
    context: bpy.types.Context, result: Result, text: str, unwanted: str, level: str, threshold: float | None, show: bool
) -> Generator[Step, None, Found]:
    """Ask a result; scores and what is meant become attributes of its points."""
    seen = fingerprint(found_again(result).collection)
    scene = yield from read_steps(found_again(result).collection)
    params = {"text": text, "not": [unwanted] if unwanted.strip() else [], "level": level, "threshold": threshold}
    data, arrays = yield from at_server(scene, "query", params, {})
    found = Found(text, level, data["threshold"], data["count"], data["things"], data["histogram"])
    result = unchanged(result, seen)
    keep_answer(result, found, arrays["scores"], arrays["chosen"] > 0)
    if active_collection(context.scene) == result.collection:
        follow(context.scene, found)
    if show:
        set_show(result.collection, "ANSWER")
    return found


def fetch_model(name: str) -> Generator[Step, None, str]:
    """Have the server fetch a model's weights; Blender's online access must be on."""
    if not bpy.app.online_access:
        raise NotAvailable(
            "Blender may not go online.", "Allow online access in Preferences > System > Network, or use the model 'tiny'."
        )
    yield from server_steps("fetch", {"model": name, "allowed": True})
    return name


def objects_called(scene: bpy.types.Scene, names: Sequence[str]) -> list[bpy.types.Object]:
    """The scene's own objects that things are named after."""
    return [item for name in dict.fromkeys(names) if (item := scene.objects.get(name)) is not None]


def _renamed(
    context: bpy.types.Context, result: Result, verb: str, params: Mapping[str, Any], arrays: Arrays
) -> Generator[Step, None, Named]:
    seen = fingerprint(found_again(result).collection)
    before = yield from read_steps(found_again(result).collection)
    data, changed = yield from at_server(before, verb, params, arrays)
    scene = yield from in_thread(lambda: unpack_naming(before, data, changed), Step("Receive", 0.0))
    yield from build_steps(context.scene, scene, result_id=result.id, in_world=True, check=lambda: unchanged(result, seen))
    return Named(scene, " ".join(data["notes"]))


def at_server(scene: SemanticScene, verb: str, params: Mapping[str, Any], arrays: Arrays) -> Generator[Step, None, Answered]:
    """Ask the server about a scene as it is now. It gets the scene anew, since points may have been edited or undone since it had them."""
    fields, columns = yield from in_thread(lambda: pack_scene(scene), Step("Send", 0.0))
    client = yield from free_server()
    data, _ = yield from server_steps("put", {"scene": fields}, columns, client)
    try:
        return (yield from server_steps(verb, {"scene": data["id"], **params}, arrays, client))
    finally:
        if client.alive:  # else it is forgotten already; no other server is started for this
            client.submit("forget", {"scene": data["id"]}, {})  # nobody waits for the answer
