# SPDX-License-Identifier: GPL-3.0-or-later
"""The last answer of a result, kept in the .blend: scores and choice on its points, the rest beside its names. No server is asked here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import bpy
import numpy as np
import numpy.typing as npt

from ..core.answers import BINS, Named, choose, things_as_json
from ..core.errors import InvalidInput, SplatonymError
from .build import Result, attributes, set_answer
from .build.attributes import CHOSEN, CLASS, INSTANCE, SCORE, point_choice, point_scores
from .build.objects import point_objects
from .build.reading import joined_column, stored_names

ANSWER, RECENT = "splatonym_answer", "splatonym_recent"
"""The custom properties of a result's collection that hold its last answer and its last questions, as JSON."""
_REMEMBERED = 6


@dataclass(frozen=True)
class Found:
    """What a question means. things: {"id", "name", "class", "score"}, the best first. count: points. histogram: [64] points by score."""

    text: str
    level: str
    threshold: float
    count: int
    things: Sequence[Mapping[str, Any]]
    histogram: Sequence[int]


def keep_answer(result: Result, found: Found, scores: npt.NDArray[np.float32], chosen: npt.NDArray[np.bool_]) -> None:
    """Put an answer into the file; scores and chosen are [N], in the order of `read_gaussians`."""
    set_answer(result.collection, scores, chosen)
    result.collection[ANSWER] = json.dumps(asdict(found), ensure_ascii=False)
    asked = [found.text, *(text for text in recent_questions(result.collection) if text != found.text)]
    result.collection[RECENT] = json.dumps(asked[:_REMEMBERED], ensure_ascii=False)


def last_answer(result: Result) -> Found | None:
    """What the last question to a result meant; None where none was asked, points are new since, or what was kept is damaged."""
    kept = result.collection.get(ANSWER)
    if not kept or any(SCORE not in item.data.attributes for item in point_objects(result.collection)):
        return None
    try:
        found = Found(**json.loads(kept))
    except (TypeError, ValueError):
        return None
    lists = isinstance(found.things, list) and isinstance(found.histogram, list)
    numbers = isinstance(found.threshold, (int, float)) and isinstance(found.count, int)
    return found if lists and numbers and isinstance(found.text, str) else None


def recent_questions(collection: bpy.types.Collection) -> list[str]:
    """What a result was asked, the last question first."""
    try:
        kept = json.loads(collection.get(RECENT, "[]"))
    except (TypeError, ValueError):
        return []
    return [text for text in kept if isinstance(text, str) and text.strip()] if isinstance(kept, list) else []


def choose_anew(result: Result, level: str, threshold: float) -> Found:
    """Another threshold or level for the last answer: no server is asked, so a slider may do it while it moves."""
    found, chosen = _choose(result, level, threshold)
    _write_choice(result, chosen)
    result.collection[ANSWER] = json.dumps(asdict(found), ensure_ascii=False)
    return found


def refresh(result: Result) -> None:
    """Points or their names changed: the last answer counts and names what is there now. One that cannot be had any more is forgotten."""
    before = last_answer(result)
    if before is None:
        return
    try:
        found, chosen = _choose(result, before.level, before.threshold)
    except SplatonymError:
        del result.collection[ANSWER]
        return
    counts, _ = np.histogram(_scores(result), bins=BINS, range=(0.0, 1.0))
    _write_choice(result, chosen)
    result.collection[ANSWER] = json.dumps(asdict(replace(found, histogram=counts.tolist())), ensure_ascii=False)


def _choose(result: Result, level: str, threshold: float) -> tuple[Found, npt.NDArray[np.bool_]]:
    before = last_answer(result)
    if before is None:
        raise InvalidInput("This result has not been asked anything.", "Ask it for something first.")
    parts = list(point_objects(result.collection))
    labels, instances = stored_names(result.collection)
    named = Named(joined_column(parts, INSTANCE), joined_column(parts, CLASS), labels, instances)
    choice = choose(named, _scores(result), level, threshold)
    things = things_as_json(instances, choice)
    return replace(before, level=level, threshold=threshold, count=int(choice.chosen.sum()), things=things), choice.chosen


def _scores(result: Result) -> npt.NDArray[np.float32]:
    parts = [point_scores(item.data) for item in point_objects(result.collection)]
    return np.concatenate([part for part in parts if part is not None] or [np.zeros(0, np.float32)])


def _write_choice(result: Result, chosen: npt.NDArray[np.bool_]) -> None:
    """The choice alone: scores stay as they are, and a slider's every step writes no more than it must."""
    start = 0
    for item in point_objects(result.collection):
        stop = start + attributes.count(item.data)
        attributes.write(item.data, {CHOSEN: ("BOOLEAN", chosen[start:stop])})
        start = stop


def chosen_points(result: Result) -> npt.NDArray[np.bool_]:
    """[N] which points the last question meant, in the order of `read_gaussians`."""
    parts = [point_choice(item.data) for item in point_objects(result.collection)]
    chosen = np.concatenate([part for part in parts if part is not None] or [np.zeros(0, bool)])
    if any(part is None for part in parts) or not chosen.any():
        raise InvalidInput(
            "No question has chosen anything in this result.", "Ask for something first, or name things by number."
        )
    return chosen
