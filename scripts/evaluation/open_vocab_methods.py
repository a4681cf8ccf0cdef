# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to name a scene and to answer for it, side by side: the product's, and what it is held against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from splatonym.server.semantics.clip.text import name_vectors
from splatonym.server.semantics.naming import Wording
from splatonym.server.semantics.questions import Question
from splatonym.server.semantics.questions import ask as ask_scene

from .open_vocab_features import Asked, dense_features, full_features, hard, heard, likeness, scene_of, word_likeness

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Told:
    """A method's answer. scores: [N, C] of the names, or None where it only looks at the picture. asks: texts -> [N, T] for heat maps.
    confidence, label: where the method says how sure it is. chooses: text -> [N] the Gaussians that are meant.
    """

    scores: Floats | None
    asks: Callable[[list[str]], Floats] | None = None
    label: npt.NDArray[np.int32] | None = None
    confidence: Floats | None = None
    chooses: Callable[[str], npt.NDArray[np.bool_]] | None = None


def product(kind: str) -> Callable[[Asked], Told]:
    def run(asked: Asked) -> Told:
        found = heard(asked, kind)
        scene = scene_of(asked, found, Wording())
        g = scene.gaussians
        return Told(
            hard(g.label, g.confidence, len(asked.names)),
            lambda texts: word_likeness(asked, found, texts),
            g.label,
            g.confidence,
            lambda text: ask_scene(scene, Question.parse(text), asked.clip).chosen,
        )

    return run


def whole(features: Callable[[Asked], Floats]) -> Callable[[Asked], Told]:
    """Full features, each Gaussian taking the likeliest name."""

    def run(asked: Asked) -> Told:
        mine = features(asked)
        label = likeness(asked, mine).argmax(1).astype(np.int32)
        label[~mine.any(1)] = len(asked.names)
        return Told(hard(label, mine[:, 0], len(asked.names)), lambda texts: text_likeness(asked, mine, texts))

    return run


def text_likeness(asked: Asked, features: Floats, texts: list[str]) -> Floats:
    return features @ name_vectors(asked.clip, texts).numpy().T


METHODS: dict[str, Callable[[Asked], Told]] = {
    "codebook, instance regions": product("instances"),
    "full features, instance regions": whole(lambda asked: full_features(asked, "instances")),
    "codebook, training-free regions": product("segments"),
    "full features, training-free regions": whole(lambda asked: full_features(asked, "segments")),
    "dense features, registered": whole(dense_features),
    "dense features, per pixel": lambda asked: Told(None),
}
