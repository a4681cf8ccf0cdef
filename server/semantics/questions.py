# SPDX-License-Identifier: GPL-3.0-or-later
"""What a codebook answers: which of some names each Gaussian has, and how well each fits a question. Both are asked of the words alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .clip.text import relevancy
from .codebook import Codebook

Floats = npt.NDArray[np.float32]

TEMPERATURE = 0.03
"""Similarities of unit vectors are divided by this before names compete."""
FLOOR = 0.35
"""A name that gets a smaller share is not given: unlabelled."""


@dataclass(frozen=True)
class Named:
    """label: [N] int32 place in the list of names, or the number of names for "none of them". confidence: [N] float32 0..1.
    words: [K, C] shares.
    """

    label: npt.NDArray[np.int32]
    confidence: Floats
    words: Floats


def name(codebook: Codebook, names: Tensor, others: Tensor, temperature: float = TEMPERATURE, floor: float = FLOOR) -> Named:
    """Give each Gaussian one of some names. names: [C, D] unit vectors. others: [P, D], of phrases that fit anything; they compete, too.

    Both kinds of vectors of a word are asked, and the mean of their shares counts.
    """
    C = len(names)
    both = torch.cat([names, others])
    shares = torch.stack([(vectors @ both.T / temperature).softmax(1) for vectors in kinds(codebook)]).mean(0)
    words = shares[:, :C].numpy().astype(np.float32)
    best = words.argmax(1) if C else np.zeros(len(words), np.int64)
    most = words.max(1, initial=0.0)
    told = np.where(most >= floor, best, C)
    votes = codebook.spread(np.eye(C + 1, dtype=np.float32)[told] * np.where(told < C, most, floor)[:, None])
    label = votes.argmax(1).astype(np.int32)
    label[codebook.weight[:, 0] == 0] = C
    confidence = votes.max(1, initial=0.0) * (label < C)
    return Named(label, confidence.astype(np.float32), words)


def kinds(codebook: Codebook) -> list[Tensor]:
    """Both kinds of the words' vectors [K, D] as float32."""
    return [torch.from_numpy(part.astype(np.float32)) for part in (codebook.specific, codebook.context)]


@dataclass(frozen=True)
class Question:
    """wanted: [Q, D] unit vectors of phrases, any of which may fit. unwanted: [U, D] of those that must not fit better. canonical: [P, D]."""

    wanted: Tensor
    unwanted: Tensor
    canonical: Tensor


def score(codebook: Codebook, question: Question) -> tuple[Floats, Floats]:
    """Relevancy of the words [K] and of the Gaussians [N], 0..1. Of both kinds of vectors that counts which answers more clearly (GSemSplat)."""
    against = torch.cat([question.canonical, question.unwanted])
    answers = [relevancy(vectors, question.wanted, against).amax(1) for vectors in kinds(codebook)]
    clearest = max(answers, key=lambda found: float(found.max()) if len(found) else 0.0)
    words = clearest.numpy().astype(np.float32)
    return words, codebook.spread(words)


def threshold(scores: Floats, least: float = 0.5) -> float:
    """Where the histogram of scores falls into two groups (Otsu 1979), not below `least`."""
    counts, edges = np.histogram(scores, bins=64, range=(0.0, 1.0))
    middles = 0.5 * (edges[1:] + edges[:-1])
    below, mass = np.cumsum(counts), np.cumsum(counts * middles)
    above = below[-1] - below
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (mass / below - (mass[-1] - mass) / above) ** 2
    between = np.nan_to_num(between)
    return max(least, float(edges[1:][between.argmax()])) if between.any() else least


def whole_things(scores: Floats, instance: npt.NDArray[np.int32], limit: float) -> npt.NDArray[np.bool_]:
    """[N] bool, the Gaussians of things that score `limit` or more in the mean: the score names the thing, the thing gives the edge (COS3D).

    instance: [N] numbers, 0 for none; those Gaussians are judged one by one.
    """
    count = int(instance.max(initial=0)) + 1
    mean = np.bincount(instance, scores, minlength=count) / np.maximum(np.bincount(instance, minlength=count), 1)
    return np.where(instance > 0, mean[instance], scores) >= limit
