# SPDX-License-Identifier: GPL-3.0-or-later
"""A result as the server has it, for looking at: sent in short steps, and again when its points have changed.

Whether they have is found out cheaply: `fingerprint` (which objects, how many points, where) is compared now and then, and the add-on's
depsgraph handler calls `changed` for what a fingerprint does not show.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import bpy
import numpy as np

from ...core.errors import Cancelled, InvalidInput
from ...core.protocol import Array, LookFields, pack_look, pack_scene
from ...core.scene import SemanticScene
from ...core.wire.client import Call, Client
from .. import connection
from ..build import Result, find_results
from ..build.attributes import count, point_scores
from ..build.objects import point_objects
from ..build.reading import read_steps
from ..jobs import Step, in_thread
from ..labelling import server_steps
from .hiding import shown_points

SETTLE_SECONDS = 0.25
"""A result that was just changed may change on: it is read when it has been left alone for so long."""
_TRIES = 3


@dataclass(frozen=True)
class _Sent:
    """What a server has: the scene's id, and the scores of the last question, which follow the first time that they are shown."""

    client: Client
    number: str
    scores: Array | None


class Source:
    """One result of a Blender scene, kept at the server. References into the file are never kept: undo would break them."""

    def __init__(self, scene_name: str, layer_name: str, wanted: str) -> None:
        self.scene_name, self.layer_name, self._wanted = scene_name, layer_name, wanted
        self.names: frozenset[str] = frozenset()
        """Names of the objects and point data that were read."""
        self._seen: object = None
        self._changed_at: float | None = -math.inf
        self._sent: _Sent | None = None
        self._scores_sent = False
        self._steps: Generator[Step, None, _Sent] | None = None
        self._tries = 0
        self.step = Step("Read", 0.0)

    @property
    def number(self) -> str:
        """The scene's id at the server; "" before it is there."""
        return self._sent.number if self._sent is not None else ""

    @property
    def has_scores(self) -> bool:
        return self._sent is not None and self._sent.scores is not None

    @property
    def busy(self) -> bool:
        """Whether the points are being read, or will be."""
        return self._steps is not None or self._changed_at is not None

    def find(self) -> Result | None:
        """The result: the one of the wanted name or id, else the last; None where there is none."""
        scene = bpy.data.scenes.get(self.scene_name)
        results = find_results(scene) if scene is not None else []
        named = [result for result in results if self._wanted and self._wanted in (result.name, result.id)]
        return (named or results or [None])[-1]

    def changed(self, now: float) -> None:
        """The points are others now; they will be read when they settle."""
        self._changed_at = now

    def look_for_changes(self, now: float) -> None:
        """Compare the fingerprint with that of the points that were read."""
        result = self.find()
        print_now = None if result is None else self._fingerprint(result)
        if print_now != self._seen:
            self._seen = print_now
            self.changed(now)

    def forget_sent(self, now: float) -> None:
        """The server does not have the scene any more: it will be sent again."""
        self._sent, self._changed_at, self._tries = None, -math.inf, self._tries + 1

    @property
    def tried_enough(self) -> bool:
        return self._tries >= _TRIES

    def advance(self, now: float) -> None:
        """Take one short step of reading and sending, if there is something to send. Raises what cannot be mended by trying again."""
        if self._steps is None:
            if self._changed_at is None or now - self._changed_at < SETTLE_SECONDS:
                return
            result = self.find()
            if result is None or any(item.mode == "EDIT" for item in point_objects(result.collection)):
                return  # what is edited is read when it is left
            self._seen, self._changed_at = self._fingerprint(result), None
            self._steps = self._send(result.collection)
        try:
            self.step = next(self._steps)
        except StopIteration as end:
            before, self._sent, self._steps = self._sent, end.value, None
            self._scores_sent = False
            if before is not None:
                _forget(before)
        except Cancelled:  # the server was stopped on purpose, and another will be asked
            self._steps = None
            self.changed(now)
        except InvalidInput:
            self._steps, self._tries = None, self._tries + 1
            if self.tried_enough:
                raise
            self.changed(now)  # taken away while it was read, most likely

    def ask(self, fields: LookFields) -> Call:
        """Ask the server for a picture of this scene."""
        arrays = {}
        if fields.show == "ANSWER" and self._sent is not None and self._sent.scores is not None and not self._scores_sent:
            arrays, self._scores_sent = {"scores": self._sent.scores}, True
        return connection.client().submit("look", pack_look(fields), arrays)

    def answered(self) -> None:
        """The server had the scene."""
        self._tries = 0

    def close(self) -> None:
        """Stop reading, and have the server forget the scene."""
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.close()
        if self._sent is not None:
            _forget(self._sent)
            self._sent = None

    def _fingerprint(self, result: Result) -> object:
        """Which points are shown, how many, and where; quick, since panels' results are few objects."""
        items = list(point_objects(result.collection))
        self.names = frozenset({item.name for item in items} | {item.data.name for item in items})
        layer = self._layer()
        shown = shown_points(layer, result.collection) if layer is not None else set()
        parts = tuple(
            (item.name, item.data.name, count(item.data), item.name in shown, tuple(map(tuple, item.matrix_world)))
            for item in items
            if item.mode != "EDIT"
        )
        return result.id, parts

    def _layer(self) -> bpy.types.ViewLayer | None:
        scene = bpy.data.scenes.get(self.scene_name)
        return scene.view_layers.get(self.layer_name) if scene is not None else None

    def _send(self, collection: bpy.types.Collection) -> Generator[Step, None, _Sent]:
        """Read what is shown of a result and put it into the server's memory."""
        client, layer, title = connection.client(), self._layer(), collection.name
        shown = shown_points(layer, collection) if layer is not None else set()
        sizes = [(item.name, count(item.data)) for item in point_objects(collection)]
        scores: list[Array | None] = []
        for name, _ in sizes:
            item = bpy.data.objects.get(name)
            scores.append(point_scores(item.data) if item is not None else None)
            yield Step("Read", 0.0, name)
        if (found := bpy.data.collections.get(title)) is None:  # not the one from before: an undo makes another of it
            raise InvalidInput(f"'{title}' was removed or renamed while it was read.", "Try again.")
        scene = yield from read_steps(found)
        fields, arrays, rows = yield from in_thread(lambda: _packed(scene, sizes, shown), Step("Read", 1.0))
        known = [part for part in scores if part is not None]
        whole = len(known) == len(scores) and sum(map(len, known)) == len(scene.gaussians) and bool(known)
        data, _ = yield from server_steps("put", {"scene": fields}, arrays)
        return _Sent(client, data["id"], np.concatenate(known)[rows] if whole else None)


def _packed(
    scene: SemanticScene, sizes: list[tuple[str, int]], shown: set[str]
) -> tuple[dict[str, Any], dict[str, Array], Array]:
    """A scene's fields and arrays without what only words need, and the rows of the shown points."""
    chosen = np.concatenate([np.zeros(0, bool), *(np.full(size, name in shown) for name, size in sizes)])
    if len(chosen) != len(scene.gaussians):
        raise InvalidInput(f"The points of '{scene.name}' changed while they were read.", "Try again.")
    gaussians = replace(scene.gaussians, words=None, shares=None, taught=None)
    if not chosen.all():
        gaussians = gaussians.select(chosen)
    fields, arrays = pack_scene(replace(scene, gaussians=gaussians, codebook=None))
    return fields, arrays, np.flatnonzero(chosen)


def _forget(sent: _Sent) -> None:
    """Nobody waits for the answer."""
    if sent.client.alive:
        sent.client.submit("forget", {"scene": sent.number}, {})
