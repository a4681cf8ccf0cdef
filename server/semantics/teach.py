# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person corrects teaches the rest: a linear probe on a codebook's words (GOI's idea of a learned boundary in place of a threshold).

Without corrections names compete by likeness to their texts. Corrections add to each name's logits a linear function of a word's vectors, the
smallest (ridge) that makes what was corrected come out right. It counts as far as a word is like a corrected one and was taken for the same
before: those follow, all others stay what they were. All words of a scene have much in common, so their mean is taken away before they
are compared. There are at most 256 words, so the probe is found in their space, exactly and at once.

What was taught is a column of the Gaussians (GaussianArrays.taught), not a history: it is saved and undone with them, and a later correction of
a Gaussian takes the place of an earlier one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ...core.codebook import Codebook
from ...core.gaussians import GaussianArrays
from .questions import kinds

RIDGE = 0.02
LIKE, SAME = 0.5, 0.75
"""Cosines with a corrected word (means taken away) from which on a word begins to follow, and follows wholly."""
MUCH = 0.3
"""Share of a word's Gaussians, or of those that were corrected to a name, from which on the word counts as corrected."""
ROUNDS = 60

Floats = npt.NDArray[np.float32]


def teach(codebook: Codebook, gaussians: GaussianArrays, before: Floats) -> Floats:
    """Logits [K, C] of the words with what was taught; before: [K, C] without it, a column for each label."""
    said = torch.from_numpy(evidence(gaussians, *before.shape)).float()
    if not said.any():
        return before
    # a word is corrected if much of it was, or if it is much of what was; not where it only shows at the edge of something else
    of_all = said / torch.from_numpy(masses(gaussians, len(before))).float()[:, None].clamp(min=1e-9)
    known = torch.maximum(of_all, said / said.sum(0).clamp(min=1e-9)).amax(1) > MUCH
    known[said.argmax(0)[said.amax(0) > 0]] = True
    x = features(codebook)
    start = torch.from_numpy(before)
    near, beginning = x[known], start[known]
    # every corrected word counts alike, however large its thing is
    target = said[known] / said[known].sum(1, keepdim=True)
    gram = near @ near.T
    dual = torch.zeros(len(near), before.shape[1], requires_grad=True)
    solver = torch.optim.LBFGS([dual], max_iter=ROUNDS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        moved = gram @ dual
        total = -(target * (beginning + moved).log_softmax(1)).sum(1).mean() + RIDGE * (dual * moved).sum() / len(near)
        total.backward()  # type: ignore[no-untyped-call]
        return total

    with torch.enable_grad():
        solver.step(loss)  # type: ignore[no-untyped-call]
    likeness = x @ near.T
    roots = start.softmax(1).sqrt()
    taken_alike = roots @ roots[known].T  # Bhattacharyya's coefficient of what both were taken for
    follows = (((likeness - LIKE) / (SAME - LIKE)).clamp(0, 1) * taken_alike).amax(1)
    follows[known] = 1
    shares = torch.stack([start.softmax(1), (start + likeness @ dual.detach()).softmax(1)])
    after: Floats = torch.lerp(shares[0], shares[1], follows[:, None]).clamp(min=1e-12).log().numpy()
    return after


def features(codebook: Codebook) -> Tensor:
    """Both vectors of each word less the words' mean, [K, 2 D], of length 1 in all."""
    both = torch.cat(kinds(codebook), 1)
    return F.normalize(both - both.mean(0), dim=1) if len(both) > 1 else both / 2**0.5


def masses(gaussians: GaussianArrays, words: int) -> npt.NDArray[np.float64]:
    """[K] how much of all Gaussians each word is."""
    assert gaussians.words is not None and gaussians.shares is not None
    shares = gaussians.shares.reshape(-1) / 255.0
    return np.bincount(gaussians.words.reshape(-1), shares, minlength=words).astype(np.float64)


def evidence(gaussians: GaussianArrays, words: int, labels: int) -> npt.NDArray[np.float64]:
    """[K, C] how much of each label was said of each word: the corrected Gaussians' shares."""
    out = np.zeros((words, labels))
    if gaussians.taught is None or gaussians.words is None or gaussians.shares is None:
        return out
    told = np.flatnonzero(gaussians.taught >= 0)
    for pair in range(gaussians.words.shape[1]):
        place = gaussians.words[told, pair].astype(np.int64) * labels + gaussians.taught[told]
        out += np.bincount(place, gaussians.shares[told, pair] / 255.0, minlength=out.size).reshape(out.shape)
    return out
