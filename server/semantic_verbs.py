# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs that give names and answer questions.

    describe {scene, label_options, views} or {scene, label_options, cameras}; arrays of the views → the reply of relabel, and notes
    relabel  {scene, labels, synonyms, label_options}        → {scene, labels, synonyms, counts} and the columns that changed
    teach    {scene, name, instances, label_options} and "gaussians" [M] int32 → the same; the name "" takes back what was taught
    query    {scene, text, not, level, threshold}            → {scene, text, threshold, count, things, histogram}, "scores" [N] float32,
                                                               "chosen" [N] uint8
    query    {scene, class}                                  → {scene, class, count}, "scores" [N] float32, "chosen" [N] uint8
    models   {}                                              → {models: [{name, megabytes, licence, note, here}]}
    fetch    {model, allowed}                                → {model}

The columns are those of core.protocol.pack_naming. `label_options` are those of semantics.text_labels.TextOptions. A scene that is described
without views is rendered through the cameras first. `render` makes heat maps of scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core import protocol
from ..core.answers import things_as_json
from ..core.errors import InvalidInput, NotAvailable
from ..core.labels import LabelMap
from ..core.protocol import take, take_objects, take_texts
from ..core.scene import SemanticScene
from ..core.views import View
from ..core.wire.messages import Request
from .job import Job
from .scenes import SceneStore
from .service import Reply, Verb


def semantic_verb_table(store: SceneStore) -> dict[str, Verb]:
    """These verbs, over a store of scenes."""
    verbs = SemanticVerbs(store)
    return {name: getattr(verbs, name) for name in ("describe", "relabel", "teach", "query", "models", "fetch")}


class SemanticVerbs:
    """One method a verb."""

    def __init__(self, store: SceneStore) -> None:
        self._store = store

    def describe(self, request: Request, job: Job) -> Reply:
        number, scene = self._scene(request)
        from .rasterize import choice
        from .semantics.naming import relabel
        from .semantics.text_labels import TextOptions, check_list, described, loaded

        options = TextOptions.read(take(request.params, "label_options", dict, {}))
        labels = self._labels(request, scene)
        clip, notes = loaded(options, job)
        check_list(labels, clip)
        backend = choice.ready(job)
        if "views" in request.params:
            views: Sequence[View] = protocol.unpack_views(take_objects(request.params, "views"), request.arrays)
        else:
            views = rendered_views(scene, request, job)
        scene, more = described(scene, views, clip, options, backend, job)
        return self._changed(number, relabel(scene, labels, clip, options.wording, job), notes=[*notes, *more])

    def relabel(self, request: Request, job: Job) -> Reply:
        number, scene = self._scene(request)
        return self._changed(number, self._renamed(request, scene, protocol.unpack_labels(request.params), job))

    def teach(self, request: Request, job: Job) -> Reply:
        number, scene = self._scene(request)
        name = take(request.params, "name", str).strip()
        from .semantics.naming import taught_scene

        scene = taught_scene(scene, chosen_gaussians(scene, request), name)
        return self._changed(number, self._renamed(request, scene, scene.labels, job))

    def query(self, request: Request, job: Job) -> Reply:
        number, scene = self._scene(request)
        if "class" in request.params:
            return self._of_class(number, scene, take(request.params, "class", str))
        from .semantics.questions import Question, ask
        from .semantics.text_labels import speaker

        text = take(request.params, "text", str)
        question = Question.parse(text, take_texts(request.params, "not") if "not" in request.params else ())
        level = take(request.params, "level", str, "object")
        limit = take(request.params, "threshold", float) if request.params.get("threshold") is not None else None
        clip = speaker(scene, job)
        with job.stage("ask"):
            found = ask(scene, question, clip, level, limit)
        return Reply(
            {
                "scene": number, "text": text, "threshold": found.threshold, "count": int(found.chosen.sum()),
                "things": things_as_json(scene.instances, found), "histogram": found.histogram.tolist(),
            },
            {"scores": found.scores, "chosen": found.chosen.astype(np.uint8)},
        )  # fmt: skip

    def models(self, request: Request, job: Job) -> Reply:
        from .semantics.clip import sources

        return Reply({"models": sources.listing()})

    def fetch(self, request: Request, job: Job) -> Reply:
        from .semantics.clip import fetch

        name = take(request.params, "model", str)
        with job.stage("fetch model"):
            fetch.fetch(name, job, allowed=take(request.params, "allowed", bool, False))
        return Reply({"model": name})

    def _scene(self, request: Request) -> tuple[str, SemanticScene]:
        number = take(request.params, "scene", str)
        return number, self._store.get(number)

    def _labels(self, request: Request, scene: SemanticScene) -> LabelMap:
        return protocol.unpack_labels(request.params) if "labels" in request.params else scene.labels

    def _renamed(self, request: Request, scene: SemanticScene, labels: LabelMap, job: Job) -> SemanticScene:
        """The scene under other names, by the model that described it."""
        from .semantics.naming import relabel
        from .semantics.text_labels import TextOptions, speaker

        options = TextOptions.read(take(request.params, "label_options", dict, {}))
        return relabel(scene, labels, speaker(scene, job), options.wording, job)

    def _changed(self, number: str, scene: SemanticScene, notes: Sequence[str] = ()) -> Reply:
        """Keep the scene and send what naming changes."""
        self._store.replace(number, scene)
        told, arrays = protocol.pack_naming(scene)
        return Reply({**told, "scene": number, "counts": scene.counts(), "notes": list(notes)}, arrays)

    def _of_class(self, number: str, scene: SemanticScene, name: str) -> Reply:
        g = scene.gaussians
        if g.label is None:
            raise NotAvailable(f"The scene '{scene.name}' has no labels.", "Predict it with a label source.")
        hit = g.label == scene.labels.id_of(name)
        scores = np.where(hit, np.float32(1) if g.confidence is None else g.confidence, np.float32(0)).astype(np.float32)
        return Reply(
            {"scene": number, "class": name, "count": int(hit.sum())}, {"scores": scores, "chosen": hit.astype(np.uint8)}
        )


def chosen_gaussians(scene: SemanticScene, request: Request) -> npt.NDArray[np.int64]:
    """The Gaussians that a request speaks of: all those of some instances, and those listed."""
    numbers: Any = take(request.params, "instances", list, [])
    if not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in numbers):
        raise InvalidInput("The field 'instances' of the request is not a list of numbers above 0.", "Give [12, 15].")
    from .semantics.naming import of_instances

    found = [of_instances(scene.gaussians, numbers)] if numbers else []
    if "gaussians" in request.arrays:
        listed = protocol.expect(request.arrays, "gaussians", np.int32, (None,)).astype(np.int64)
        if len(listed) and not 0 <= listed.min() <= listed.max() < len(scene.gaussians):
            raise InvalidInput(f"The array 'gaussians' speaks of one that is not among the {len(scene.gaussians):,}.")
        found.append(listed)
    if not sum(map(len, found)):
        raise InvalidInput("Nothing is chosen.", "Choose an object or some points.")
    return np.concatenate(found)


def rendered_views(scene: SemanticScene, request: Request, job: Job) -> list[View]:
    """The scene itself through the cameras of a request."""
    from .rendering import render_scene

    cameras = [protocol.unpack_camera(c, where=f"camera {k}") for k, c in enumerate(take_objects(request.params, "cameras"))]
    with job.stage("render"):
        pictures = list(render_scene(scene, cameras, job))
    return [
        View(f"view {k + 1}", camera, one.rgb, one.depth, one.instances if one.instances.any() else None)
        for k, (camera, one) in enumerate(zip(cameras, pictures, strict=True))
    ]
