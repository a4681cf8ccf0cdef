# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person corrects teaches the rest: a linear probe on a codebook's words (GOI's idea of a learned boundary in place of a threshold).

Without corrections names compete by likeness to their texts. Corrections add to each name's logits a linear function of a word's vectors, the
smallest (ridge) that makes what was corrected come out right; words like the corrected ones follow, others hardly change. There are at
most 256 words, so the probe is found in their space, exactly and at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .codebook import Codebook
from .questions import kinds

RIDGE = 0.02
ROUNDS = 60


@dataclass(frozen=True)
class Correction:
    """gaussians: [M] places of Gaussians that a person named. name: place in the list of names, or its length for "none of them"."""

    gaussians: npt.NDArray[np.int64]
    name: int


@dataclass(frozen=True)
class Probe:
    """offset: [C + 1, 2 D] float32, what is added to the logits of each name, and of "none of them", for a word's two vectors."""

    offset: npt.NDArray[np.float32]

    def logits(self, codebook: Codebook) -> npt.NDArray[np.float32]:
        """[K, C + 1] for the words of any codebook of the same model."""
        found: npt.NDArray[np.float32] = (features(codebook) @ torch.from_numpy(self.offset).T).numpy()
        return found


def features(codebook: Codebook) -> Tensor:
    """Both vectors of each word, [K, 2 D], of length 1 in all."""
    return torch.cat(kinds(codebook), 1) / 2**0.5


def evidence(codebook: Codebook, corrections: Sequence[Correction], names: int) -> npt.NDArray[np.float64]:
    """[K, C + 1] how much of each name was said of each word: the corrected Gaussians' shares. A later correction of a Gaussian counts alone."""
    last = np.full(len(codebook), -1, np.int64)
    for one in corrections:
        last[one.gaussians] = one.name
    told = np.flatnonzero(last >= 0)
    out = np.zeros((codebook.words, names + 1))
    for pair in range(codebook.index.shape[1]):
        np.add.at(out, (codebook.index[told, pair], last[told]), codebook.weight[told, pair] / 255.0)
    return out


def teach(codebook: Codebook, before: npt.NDArray[np.float32], corrections: Sequence[Correction]) -> Probe:
    """The probe that makes corrections come out right. before: [K, C + 1] logits of the words without it."""
    names = before.shape[1] - 1
    said = torch.from_numpy(evidence(codebook, corrections, names)).float()
    x = features(codebook)
    known = said.sum(1) > 0
    if not known.any():
        return Probe(np.zeros((names + 1, x.shape[1]), np.float32))
    # every corrected word counts alike, however large its thing is
    target = said[known] / said[known].sum(1, keepdim=True)
    near, start = x[known], torch.from_numpy(before)[known]
    gram = near @ near.T
    dual = torch.zeros(len(near), names + 1, requires_grad=True)
    solver = torch.optim.LBFGS([dual], max_iter=ROUNDS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        share = (start + gram @ dual).log_softmax(1)
        total = -(target * share).sum(1).mean() + RIDGE * (dual * (gram @ dual)).sum() / len(near)
        total.backward()  # type: ignore[no-untyped-call]
        return total

    with torch.enable_grad():
        solver.step(loss)  # type: ignore[no-untyped-call]
    offset: npt.NDArray[np.float32] = (dual.detach().T @ near).numpy()
    return Probe(offset)
