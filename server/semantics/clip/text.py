# SPDX-License-Identifier: GPL-3.0-or-later
"""Words to vectors: prompts around a name, several words for one thing, and how well a vector fits a question.

A name is put into several sentences and their vectors averaged, as open_clip's zero-shot classifiers do. A question is not judged by itself but
against phrases that fit anything (LERF, Kerr et al. 2023): relevancy = min over those of softmax(10 * [question, phrase]).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .models import Clip

PROMPTS = (
    "{}", "a photo of a {}.", "a {} in a room.", "a rendering of a {}.", "a close-up photo of a {}.", "there is a {} in the scene.",
)  # fmt: skip
CANONICAL = ("object", "things", "stuff", "texture")
SHARPNESS = 10.0


def name_vectors(
    clip: Clip,
    names: Sequence[str],
    synonyms: Mapping[str, Sequence[str]] | None = None,
    prompts: Sequence[str] = PROMPTS,
    check: Callable[[], None] = lambda: None,
) -> Tensor:
    """Unit vectors [C, D] of names, each the mean over its prompts and its other words."""
    words = [[name.replace("_", " "), *(synonyms or {}).get(name, ())] for name in names]
    sentences = [[prompt.format(word) for word in some for prompt in prompts] for some in words]
    vectors = clip.encode_texts([s for some in sentences for s in some], check)
    parts = torch.split(vectors, [len(some) for some in sentences])
    means = [part.mean(0) for part in parts]
    return F.normalize(torch.stack(means), dim=-1) if means else torch.zeros(0, clip.dim)


def relevancy(vectors: Tensor, questions: Tensor, canonical: Tensor, sharpness: float = SHARPNESS) -> Tensor:
    """How well unit vectors [N, D] fit each of the questions [Q, D] rather than any canonical phrase [P, D]: [N, Q] in 0..1."""
    asked, other = vectors @ questions.T, vectors @ canonical.T
    margin = asked[:, :, None] - other[:, None, :]
    return torch.sigmoid(sharpness * margin).amin(-1)
