# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job as steps: cameras → views → server → labelled objects."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import bpy

from ..core import labels as label_sets
from ..core.errors import InvalidInput
from ..core.protocol import Arrays, PredictFields, pack_predict, unpack_scene
from ..core.scene import SemanticScene
from ..core.wire.client import Client
from . import connection
from .build import build_steps, find_results
from .capture import Captured, CaptureSettings, Shot, capture_in_steps, choose_cameras, empty_views
from .jobs import Step, in_thread
from .properties import TAKE_DEPTH_OR_LEAVE_IT
from .report import keep_report, timed, whole


@dataclass(frozen=True)
class LabelOptions:
    """What to predict, and from which views; the values are those of the panel's settings (properties.py)."""

    result_name: str = "Splatonym"
    camera_source: str = "SELECTED"
    camera_names: tuple[str, ...] = ()
    """Cameras by name, in place of `camera_source`."""
    resolution: int = 256
    samples: int = 16
    engine: str = "SCENE"
    predictor: str = "depth-pass"
    use_depth: bool = True
    """Whether a predictor that can do without is given the rendered depth."""
    label_source: str = "scene"
    label_set: str = "indoor"
    names: str = ""
    """For labels from text: what a person typed, as core.labels.from_text reads it."""
    model: str = "auto"
    regions: str = "auto"
    """For labels from text: the vision-language model, and where regions come from."""


@dataclass(frozen=True)
class Outcome:
    """The result, what the server says of how it was made, and a sentence on what was odd."""

    result_id: str
    scene: SemanticScene
    report: dict[str, Any]
    notes: str = ""


def label_cameras(context: bpy.types.Context, options: LabelOptions) -> Generator[Step, None, Outcome]:
    """The whole job on the open scene."""
    if not options.result_name.strip():
        raise InvalidInput("The result has no name.", "Give it one; its collection is called so.")
    if options.label_source == "text":
        label_sets.from_text(options.names)  # a list that cannot be read is said before anything is rendered
    shots = choose_cameras(context, options.camera_source, names=options.camera_names)
    connection.client()  # a missing server is said before anything is rendered; it starts up meanwhile
    seconds: dict[str, float] = {}
    captured = yield from timed(capture_steps(context, shots, options), seconds)
    outcome = yield from predict_steps(captured, options, replaced_result(context.scene, options.result_name))
    yield from timed(build_steps(context.scene, outcome.scene, result_id=outcome.result_id), seconds)
    return kept(context.scene, outcome, captured, options, seconds)


def kept(
    scene: bpy.types.Scene, outcome: Outcome, captured: Captured, options: LabelOptions, seconds: Mapping[str, float]
) -> Outcome:
    """The outcome with the whole report, which is kept beside the result, too."""
    rendered = {"views": [view.name for view in captured.views], "resolution": options.resolution, "samples": options.samples}
    report = whole(outcome.report, seconds=seconds, engine=options.engine, **rendered)
    keep_report(scene, outcome.result_id, report)
    return replace(outcome, report=report)


def replaced_result(scene: bpy.types.Scene, name: str) -> str:
    """The id of the result that a new one of this name replaces, or ""."""
    return next((result.id for result in find_results(scene) if result.name == name), "")


def capture_steps(context: bpy.types.Context, shots: Sequence[Shot], options: LabelOptions) -> Generator[Step, None, Captured]:
    """Render the shots; nothing of the file is changed, however the steps end."""
    settings = CaptureSettings(
        resolution=options.resolution,
        samples=options.samples,
        engine=None if options.engine == "SCENE" else options.engine,
        labels=label_sets.preset(options.label_set),
    )
    return (yield from capture_in_steps(context, shots, settings, connection.check))


def predict_steps(captured: Captured, options: LabelOptions, replaces: str = "") -> Generator[Step, None, Outcome]:
    """Have the server predict and label; progress comes as it has it."""
    fields = PredictFields(
        name=options.result_name,
        views=captured.views,
        labels=label_sets.from_text(options.names) if options.label_source == "text" else captured.labels,
        instances=captured.instances,
        predictor=options.predictor,
        label_source=options.label_source,
        options=predictor_options(options),
        scene=replaces,
        label_options=label_options(options),
    )
    params, arrays = yield from in_thread(lambda: pack_predict(fields), Step("Send", 0.0))
    data, arrays = yield from server_steps("predict", params, arrays)
    scene = yield from in_thread(lambda: unpack_scene(data["scene"], arrays), Step("Receive", 0.0))
    empty = empty_views(captured.views)
    notes = [f"Nothing was seen by {', '.join(empty)}."] if empty else []
    return Outcome(data["id"], scene, data["report"], " ".join([*notes, *data["report"].get("notes", ())]))


def predictor_options(options: LabelOptions) -> dict[str, Any]:
    """What the predictor is told of itself; a predictor refuses options that it does not have."""
    return {"use_depth": False} if options.predictor in TAKE_DEPTH_OR_LEAVE_IT and not options.use_depth else {}


def label_options(options: LabelOptions) -> dict[str, Any]:
    """What the label source is told of itself."""
    return {"model": options.model, "regions": options.regions} if options.label_source == "text" else {}


def free_server() -> Generator[Step, None, Client]:
    """The server, once it has ended what was cancelled last. One that does not is gone by then, and another is started."""
    while (client := connection.client()).cancelling:
        yield Step("Server", 0.0, "ending the last job", waiting=True)
    return client


def server_steps(
    verb: str, params: Mapping[str, Any], arrays: Arrays | None = None, client: Client | None = None
) -> Generator[Step, None, tuple[dict[str, Any], Arrays]]:
    """Ask the server and wait for its answer, step by step; closing the steps cancels the request.

    client: the server that knows what the request speaks of; by default `free_server`.
    """
    if client is None:
        client = yield from free_server()
    call = client.submit(verb, params, arrays)
    try:
        while not call.done:
            told = call.progress
            if told is None:
                yield Step("Server", 0.0, "starting", waiting=True)
            else:
                yield Step(told.stage, told.fraction, told.text, waiting=True)
    finally:
        if not call.done:
            call.cancel()
    return call.result()
