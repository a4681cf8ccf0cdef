# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs of the server: what a request may ask for.

    hello    {protocol}                      → {protocol, version, python, limits, and pipeline.capabilities}
    predict  see core.protocol.pack_predict  → {id, scene, counts, report, warnings} and the scene's arrays
    render   {scene, cameras, settings}      → {scene, cameras, rasterizer} and pictures, see core.protocol.unpack_pictures; with an array
                                               "scores" [N] float32 also "heat.0" [H, W] float32 ..., their mean over what shows in a pixel
    look     see core.protocol.pack_look      → {scene, seconds} and an array "look", see core.protocol.pack_texels; with an array "scores"
                                               [N] float32, which is kept until the next one, for what shows answers
    put      {scene} and the scene's arrays  → {id}; in memory only
    save     {scene, folder, strict}         → {folder}
    load     {folder}                        → {id, scene, counts, warnings} and the scene's arrays
    scenes   {}                              → {scenes: [{id, name, in_memory, on_disk}]}
    forget   {scene}                         → {scene}

and, in semantic_verbs.py, describe, relabel, teach, query, models and fetch.

`scene` is an id where a verb takes one, and the fields of core.protocol.pack_scene where one is given. `settings` of render are
"background" (sRGB, three numbers 0..1), "near", "far", "eps2d", "antialiased". torch is imported by the verbs that need it.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..core import protocol
from ..core.errors import InvalidFile, InvalidInput
from ..core.protocol import take, take_objects
from ..core.scene import SemanticScene, read_scene, write_scene
from ..core.wire.errors import WrongVersion
from ..core.wire.framing import Limits
from ..core.wire.messages import Request
from .job import Job
from .scenes import SceneStore, checked_id, new_id
from .semantic_verbs import semantic_verb_table
from .service import Reply, Verb

if TYPE_CHECKING:
    from .live import Looks


def verb_table(store: SceneStore, limits: Limits) -> dict[str, Verb]:
    """All verbs, over one store of scenes."""
    verbs = Verbs(store, limits)
    names = ("hello", "predict", "render", "look", "put", "save", "load", "scenes", "forget")
    return {name: getattr(verbs, name) for name in names} | semantic_verb_table(store)


class Verbs:
    """One method a verb."""

    def __init__(self, store: SceneStore, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._looks: Looks | None = None

    def hello(self, request: Request, job: Job) -> Reply:
        theirs = take(request.params, "protocol", int)
        if theirs != protocol.PROTOCOL_VERSION:
            raise WrongVersion(
                f"The client speaks protocol {theirs}, the server {protocol.PROTOCOL_VERSION}.",
                "Use the same version of Splatonym on both sides.",
            )
        from .pipeline import capabilities

        own = {"protocol": protocol.PROTOCOL_VERSION, "version": __version__, "python": platform.python_version()}
        return Reply({**capabilities(), **own, "limits": asdict(self._limits)})

    def predict(self, request: Request, job: Job) -> Reply:
        asked = protocol.unpack_predict(request.params, request.arrays)
        if asked.scene:
            checked_id(asked.scene)  # said before the work, not after it
        from .pipeline import PredictRequest, predict

        result = predict(
            PredictRequest(
                asked.name,
                asked.views,
                asked.labels,
                asked.instances,
                asked.predictor,
                asked.label_source,
                dict(asked.options or {}),
                dict(asked.label_options or {}),
            ),
            job,
        )
        job.check()
        return self._reply_with_scene(result.scene, asked.scene, {"report": result.report})

    def render(self, request: Request, job: Job) -> Reply:
        number = take(request.params, "scene", str)
        scene = self._store.get(number)
        cameras = [
            protocol.unpack_camera(c, where=f"camera {k}") for k, c in enumerate(take_objects(request.params, "cameras"))
        ]
        settings = dict(take(request.params, "settings", dict, {}))
        background = take_background(settings.pop("background", [0.0, 0.0, 0.0]))
        from .rasterize import choice
        from .rasterize.contract import RasterSettings
        from .rendering import heat_maps, render_scene

        known = {field: type(default) for field, default in asdict(RasterSettings()).items()}
        if unknown := set(settings) - set(known):
            raise InvalidInput(f"There is no render setting '{min(unknown)}'.", f"Settings: background, {', '.join(known)}.")
        raster = RasterSettings(**{field: take(settings, field, known[field], where="the settings") for field in settings})
        backend = choice.ready(job)
        arrays: dict[str, protocol.Array] = {}
        with job.stage("render"):
            views = render_scene(scene, cameras, job, backend=backend, settings=raster, background=background)
            for place, view in enumerate(views):
                arrays |= protocol.pack_pictures(place, view)
            if "scores" in request.arrays:
                scores = protocol.expect(request.arrays, "scores", np.float32, (len(scene.gaussians),))
                heat = heat_maps(scene, scores, cameras, job, backend=backend)
                arrays |= {f"heat.{place}": picture for place, picture in enumerate(heat)}
        return Reply({"scene": number, "cameras": len(cameras), "rasterizer": choice.describe(backend)}, arrays)

    def look(self, request: Request, job: Job) -> Reply:
        asked = protocol.unpack_look(request.params)
        scene = self._store.get(asked.scene)
        scores = None
        if "scores" in request.arrays:
            scores = protocol.expect(request.arrays, "scores", np.float32, (len(scene.gaussians),))
        if self._looks is None:
            from .live import Looks

            self._looks = Looks()
        start = time.perf_counter()
        picture = self._looks.look(scene, asked, scores, job)
        return Reply({"scene": asked.scene, "seconds": time.perf_counter() - start}, {"look": picture})

    def put(self, request: Request, job: Job) -> Reply:
        scene = protocol.unpack_scene(take(request.params, "scene", dict), request.arrays)
        return Reply({"id": self._store.add(scene, keep=False)})

    def save(self, request: Request, job: Job) -> Reply:
        folder = take_folder(request.params)
        scene = self._store.get(take(request.params, "scene", str))
        write_scene(folder, scene, strict=take(request.params, "strict", bool, False))
        return Reply({"folder": str(folder)})

    def load(self, request: Request, job: Job) -> Reply:
        return self._reply_with_scene(read_scene(take_folder(request.params)), "", {})

    def scenes(self, request: Request, job: Job) -> Reply:
        return Reply({"scenes": [asdict(entry) for entry in self._store.entries()]})

    def forget(self, request: Request, job: Job) -> Reply:
        number = take(request.params, "scene", str)
        self._store.forget(number)
        if self._looks is not None:
            self._looks.forget(number)
        return Reply({"scene": number})

    def _reply_with_scene(self, scene: SemanticScene, replaced: str, data: Mapping[str, Any]) -> Reply:
        """Take a scene into the store and send it. A full disk costs a warning, not the work that the scene took."""
        warnings: list[str] = []
        number = replaced or new_id(scene.name)
        try:
            self._store.add(scene, number)
        except InvalidFile as error:
            warnings.append(f"The server could not keep the scene for its next start: {error.message}")
        fields, arrays = protocol.pack_scene(scene)
        return Reply({"id": number, "scene": fields, "counts": scene.counts(), "warnings": warnings, **data}, arrays)


def take_folder(params: Mapping[str, Any]) -> Path:
    """The field "folder": an absolute path, since the server's working folder is nobody's business."""
    folder = Path(take(params, "folder", str))
    if not folder.is_absolute() or "\0" in str(folder):
        raise InvalidInput(f"'{folder}' is not an absolute path.", "Give the whole path of the folder.")
    return folder


def take_background(value: object) -> tuple[float, float, float]:
    """An sRGB colour, 0..1."""
    match value:
        case [int() | float() as red, int() | float() as green, int() | float() as blue]:
            colour = (float(red), float(green), float(blue))
            if all(0 <= part <= 1 for part in colour):
                return colour
    raise InvalidInput(f"The background {str(value)[:80]} is no colour.", "Give three numbers from 0 to 1.")
