# SPDX-License-Identifier: GPL-3.0-or-later
"""Views to a codebook: regions, what a vision-language model says of them, which things they are, and which Gaussians show them.

regions of each view -> two vectors each -> registered to Gaussians -> joined to things over all views -> words, and pairs for each Gaussian
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...core.codebook import Codebook
from ...core.gaussians import ByteArray, GaussianArrays, IntArray
from ...core.views import View
from ..job import Job
from ..rasterize.contract import Backend, Frame, RasterSettings
from .clip.cache import FeatureCache
from .clip.images import RegionVectors, describe_regions
from .clip.models import Clip
from .codebook import pairs, shortened
from .instances import Things, ViewRegions, join
from .regions import Regions
from .votes import added_up, heaviest

LEAST_PIXELS = 30
"""Smaller regions are not described: there is nothing to see in them."""


@dataclass(frozen=True)
class Language:
    """codebook. words, shares: [N, 4] of the Gaussians. instance: [N] int32 the thing that claims each most, 0 for none."""

    codebook: Codebook
    words: ByteArray
    shares: ByteArray
    instance: IntArray


@dataclass(frozen=True)
class Described:
    """R regions of a view. numbers: [R] in its map. pixels: [R]. vectors: of both kinds, [R, D] each."""

    numbers: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.int64]
    vectors: RegionVectors


def listen(
    gaussians: GaussianArrays,
    views: Sequence[View],
    clip: Clip,
    regions: Regions,
    backend: Backend,
    job: Job,
    cache: FeatureCache,
) -> Language:
    """What a vision-language model says of a scene."""
    seen: list[ViewRegions] = []
    described: list[Described] = []
    with job.stage("describe"):
        frames = backend.prepare_all(gaussians, [view.camera for view in views], RasterSettings(), job)
        for place, (view, frame) in enumerate(zip(views, frames, strict=True)):
            job.progress(place / len(views), f"{view.name} ({place + 1} of {len(views)})")
            numbers = regions.of(view, frame, job)
            mine = describe(view, numbers, clip, cache, job)
            described.append(mine)
            seen.append(registered(frame, numbers, mine, regions.exact))
    with job.stage("join regions"):
        things = join(seen, len(gaussians), job.check)
        job.check()
        specific, context, word_of = shortened(*means(things, described, clip.dim), weights_of(things))
        words, shares = pairs(len(gaussians), *added_up((things.gaussian, word_of[things.thing], things.weight)))
        instance = owners(things, len(gaussians))
    book = Codebook(clip.name, clip.key, specific.astype(np.float16), context.astype(np.float16))
    return Language(book, words, shares, instance)


def describe(view: View, numbers: npt.NDArray[np.int32], clip: Clip, cache: FeatureCache, job: Job) -> Described:
    """What the model says of a view's regions, or said the last time that it saw the same."""
    found, pixels = np.unique(numbers[numbers > 0], return_counts=True)
    large = pixels >= LEAST_PIXELS
    names, counts = found[large].astype(np.int64), pixels[large].astype(np.int64)
    key = cache.key(clip.key, view.rgb, local(numbers, names))
    vectors = cache.get(key, len(names), clip.dim)
    if vectors is None:
        vectors = describe_regions(clip, view.rgb, [numbers == name for name in names], job)
        cache.put(key, vectors)
    return Described(names, counts, vectors)


def registered(frame: Frame, numbers: npt.NDArray[np.int32], mine: Described, exact: bool) -> ViewRegions:
    """Which Gaussians show a view's regions."""
    entries = frame.register_ids(local(numbers, mine.numbers))
    return ViewRegions(
        entries.gaussian,
        entries.id - 1,
        entries.weight,
        mine.pixels,
        mine.vectors.specific.numpy(),
        mine.numbers if exact else None,
    )


def local(numbers: npt.NDArray[np.int32], names: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """A map of region numbers -> places among `names`, from 1 on; 0 for others."""
    if not len(names):
        return np.zeros_like(numbers)
    place = np.searchsorted(names, numbers).clip(max=len(names) - 1)
    return np.where(names[place] == numbers, place + 1, 0).astype(np.int32)


def means(things: Things, described: Sequence[Described], dim: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Vectors [T, D] of both kinds of each thing: means over its regions, larger ones counting more."""
    sums = np.zeros((2, things.count, dim), np.float64)
    for mine, one in zip(things.of, described, strict=True):
        weight = np.sqrt(one.pixels)[:, None]
        np.add.at(sums[0], mine, weight * one.vectors.specific.numpy())
        np.add.at(sums[1], mine, weight * one.vectors.context.numpy())
    unit = sums / np.maximum(np.linalg.norm(sums, axis=-1, keepdims=True), 1e-12)
    return unit[0].astype(np.float32), unit[1].astype(np.float32)


def weights_of(things: Things) -> npt.NDArray[np.float64]:
    """[T] how much of the scene each thing claims."""
    return np.bincount(things.thing, things.weight, minlength=things.count).astype(np.float64)


def owners(things: Things, gaussians: int) -> npt.NDArray[np.int32]:
    """[N] the number of the thing that claims each Gaussian most, 0 for none."""
    out = np.zeros(gaussians, np.int32)
    best = heaviest(things.gaussian, things.weight)
    best = best[things.weight[best] > 0]
    out[things.gaussian[best]] = things.numbers[things.thing[best]]
    return out
