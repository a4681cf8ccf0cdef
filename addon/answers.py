# SPDX-License-Identifier: GPL-3.0-or-later
"""The last answer of a result, kept in the .blend: scores and choice on its points, the rest beside its names. No server is asked here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.answers import Named, choose, things_as_json
from ..core.errors import InvalidInput
from .build import Result, set_answer
from .build.attributes import CLASS, INSTANCE, SCORE, point_choice, point_scores
from .build.objects import point_objects
from .build.reading import joined_column, stored_names

ANSWER = "splatonym_answer"
"""The custom property of a result's collection that holds its last answer, as JSON."""


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


def last_answer(result: Result) -> Found | None:
    """What the last question to a result meant; None where none was asked, or points are new since."""
    kept = result.collection.get(ANSWER)
    whole = all(SCORE in item.data.attributes for item in point_objects(result.collection))
    return Found(**json.loads(kept)) if kept and whole else None


def choose_anew(result: Result, level: str, threshold: float) -> Found:
    """Another threshold or level for the last answer: no server is asked, so a slider may do it while it moves."""
    before = last_answer(result)
    parts = list(point_objects(result.collection))
    scores = [point_scores(item.data) for item in parts]
    if before is None:
        raise InvalidInput("This result has not been asked anything.", "Ask it for something first.")
    labels, instances = stored_names(result.collection)
    named = Named(joined_column(parts, INSTANCE), joined_column(parts, CLASS), labels, instances)
    all_scores = np.concatenate([part for part in scores if part is not None] or [np.zeros(0, np.float32)])
    choice = choose(named, all_scores, level, threshold)
    things = things_as_json(instances, choice)
    found = replace(before, level=level, threshold=threshold, count=int(choice.chosen.sum()), things=things)
    keep_answer(result, found, all_scores, choice.chosen)
    return found


def chosen_points(result: Result) -> npt.NDArray[np.bool_]:
    """[N] which points the last question meant, in the order of `read_gaussians`."""
    parts = [point_choice(item.data) for item in point_objects(result.collection)]
    chosen = np.concatenate([part for part in parts if part is not None] or [np.zeros(0, bool)])
    if any(part is None for part in parts) or not chosen.any():
        raise InvalidInput(
            "No question has chosen anything in this result.", "Ask for something first, or name things by number."
        )
    return chosen
