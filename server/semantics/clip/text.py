# SPDX-License-Identifier: GPL-3.0-or-later
"""Words to vectors: prompts around a name, several words for one thing, and how well a vector fits a question.

A name is put into several sentences and their vectors averaged, as open_clip's zero-shot classifiers do. A question is not judged by itself but
against phrases that fit anything (LERF, Kerr et al. 2023): relevancy = min over those of softmax(10 * [question, phrase]). Beside those four
stand the names of common things: a lamp is then no chair because it is a lamp, and not only because it is no chair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ....core.errors import InvalidInput
from .models import Clip

PROMPTS = (
    "{}", "a photo of a {}.", "a {} in a room.", "a rendering of a {}.", "a close-up photo of a {}.", "there is a {} in the scene.",
)  # fmt: skip
CANONICAL = ("object", "things", "stuff", "texture")
COMMON = (
    "wall", "floor", "ceiling", "window", "door", "chair", "sofa", "table", "bed", "cabinet", "shelf", "lamp", "plant", "sink", "toilet",
    "bathtub", "television", "curtain", "rug", "picture", "mirror", "refrigerator", "stove", "book", "box", "bottle", "vase", "pillow",
    "clock", "person", "car", "tree", "building", "road", "sky", "grass", "food", "clothes",
)  # fmt: skip
"""What most pictures show; those that say the same as what is asked for do not count."""
ALIKE = 2.0
"""Two texts say the same if they are so many standard deviations more alike than common names are among themselves."""
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


def rivals(clip: Clip, wanted: Tensor, phrases: Sequence[str], prompts: Sequence[str] = PROMPTS) -> Tensor:
    """Unit vectors [P, D] of the phrases that say something else than any of the wanted texts [C, D]."""
    if not phrases:
        return torch.zeros(0, clip.dim)
    vectors = name_vectors(clip, phrases, prompts=prompts)
    common = name_vectors(clip, COMMON, prompts=prompts)
    apart = (common @ common.T)[torch.triu_indices(len(COMMON), len(COMMON), 1).unbind()]
    alike = float(apart.mean() + ALIKE * apart.std())
    return vectors[(vectors @ wanted.T).amax(1) < alike] if len(wanted) else vectors


def relevancy(vectors: Tensor, questions: Tensor, canonical: Tensor, sharpness: float = SHARPNESS) -> Tensor:
    """How well unit vectors [N, D] fit each of the questions [Q, D] rather than any canonical phrase [P, D]: [N, Q] in 0..1."""
    asked, other = vectors @ questions.T, vectors @ canonical.T
    if not len(canonical):
        raise InvalidInput("A question needs phrases to be held against.", "Give at least one.")
    margin = asked[:, :, None] - other[:, None, :]
    return torch.sigmoid(sharpness * margin).amin(-1)
