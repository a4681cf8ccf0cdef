# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scene with a codebook answers to a question: how well each Gaussian fits it, which are meant, and which things those are.

"red chair" asks for it; "chair, stool" for either; "chair not armchair" for those of which the first is truer than the second.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...core.answers import BINS, Choice, Named, choose, threshold
from ...core.codebook import Codebook, spread
from ...core.errors import InvalidInput
from ...core.scene import SemanticScene
from .clip.models import Clip
from .clip.text import CANONICAL, COMMON, PROMPTS, name_vectors, relevancy, rivals

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Question:
    """wanted: phrases, any of which may fit. unwanted: phrases that must not fit better."""

    wanted: tuple[str, ...]
    unwanted: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, unwanted: Sequence[str] = ()) -> Question:
        """ "chair, stool not armchair" -> wanted chair and stool, unwanted armchair."""
        first, *rest = re.split(r"(?:^|\s+)(?:but\s+)?not\s+", text.strip())
        wanted = tuple(word.strip() for word in first.split(",") if word.strip())
        more = tuple(word.strip() for part in (*rest, *unwanted) for word in part.split(",") if word.strip())
        if not wanted:
            raise InvalidInput(f"The question '{text[:60]}' asks for nothing.", "Type what you look for: red chair.")
        return cls(wanted, more)


@dataclass(frozen=True)
class Answer(Choice):
    """scores: [N] float32 relevancy of the Gaussians, 0..1. threshold: from which on they are meant. histogram: [64] Gaussians by score."""

    scores: Floats
    threshold: float
    histogram: npt.NDArray[np.int64]


def ask(
    scene: SemanticScene,
    question: Question,
    clip: Clip,
    level: str = "object",
    limit: float | None = None,
    prompts: Sequence[str] = PROMPTS,
) -> Answer:
    """Ask a scene with a codebook of the same model. limit: a threshold; without one the scores' own histogram gives it."""
    from .naming import check_model, words_of

    codebook, words, shares = words_of(scene)
    check_model(codebook, clip)
    of_words = word_scores(codebook, question, clip, prompts)
    return answer(scene, spread(words, shares, of_words), of_words, level, limit)


def answer(scene: SemanticScene, scores: Floats, of_words: Floats, level: str, limit: float | None) -> Answer:
    """Scores to a choice."""
    if limit is None:
        assert scene.gaussians.words is not None
        claimed = np.bincount(scene.gaussians.words[:, 0], minlength=len(of_words))[: len(of_words)]
        limit = threshold(of_words, np.sqrt(claimed))  # of things, large ones counting more, but walls not for everything
    found = choose(Named.of(scene), scores, level, limit)
    bins = np.minimum(scores * np.float32(BINS), BINS - 1).astype(np.uint8)  # np.histogram takes three times as long
    histogram = np.bincount(bins, minlength=BINS)
    return Answer(found.chosen, found.things, scores, float(limit), histogram)


def word_scores(codebook: Codebook, question: Question, clip: Clip, prompts: Sequence[str] = PROMPTS) -> Floats:
    """Relevancy [K] of the words. Of both kinds of vectors that counts which answers more clearly (GSemSplat)."""
    wanted, unwanted = (name_vectors(clip, phrases, prompts=prompts) for phrases in (question.wanted, question.unwanted))
    canonical = name_vectors(clip, CANONICAL, prompts=prompts)
    against = torch.cat([canonical, rivals(clip, wanted, COMMON, prompts), unwanted])
    return best_relevancy(kinds(codebook), wanted, against)


def best_relevancy(vectors: Sequence[Tensor], wanted: Tensor, against: Tensor) -> Floats:
    """[K] of the kind of vectors whose highest relevancy is highest."""
    answers = [relevancy(one, wanted, against).amax(1) for one in vectors]
    clearest: Floats = max(answers, key=lambda found: float(found.max()) if len(found) else 0.0).numpy().astype(np.float32)
    return clearest


def kinds(codebook: Codebook) -> list[Tensor]:
    """Both kinds of the words' vectors [K, D] as float32."""
    return [torch.from_numpy(part.astype(np.float32)) for part in (codebook.specific, codebook.context)]
