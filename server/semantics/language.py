# SPDX-License-Identifier: GPL-3.0-or-later
"""Views to a codebook: regions, what a vision-language model says of them, which things they are, and which Gaussians show them.

regions of each view -> two vectors each -> registered to Gaussians -> joined to things over all views -> words, and pairs for each Gaussian
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ...core.errors import InvalidInput
from ...core.gaussians import GaussianArrays
from ...core.views import View
from ..job import Job
from ..rasterize.contract import Backend, Frame, RasterSettings
from .clip.images import describe_regions
from .clip.models import Clip
from .codebook import WORDS_MOST, Codebook, pairs
from .instances import Things, ViewRegions, join
from .segments import segments
from .votes import added_up, heaviest

LEAST_PIXELS = 30
"""Smaller regions are not described: there is nothing to see in them."""


@dataclass(frozen=True)
class Language:
    """codebook: of the Gaussians. instance: [N] int32 the thing that claims each most, 0 for none. notes: sentences for the person."""

    codebook: Codebook
    instance: npt.NDArray[np.int32]
    notes: list[str]


def listen(gaussians: GaussianArrays, views: Sequence[View], clip: Clip, regions: str, backend: Backend, job: Job) -> Language:
    """What a vision-language model says of a scene.

    regions: "instances" (the views' instance maps: exact) or "segments" (from pictures and depth; where a view has no depth, the scene's own).
    """
    frames = list(backend.prepare_all(gaussians, [view.camera for view in views], RasterSettings(), job))
    found, notes = region_maps(views, frames, regions, job)
    described = describe(found, clip, job)
    with job.stage("register regions"):
        seen = []
        for place, (one, mine) in enumerate(zip(found, described, strict=True)):
            job.progress(place / len(found), one.view.name)
            entries = one.frame.register_ids(local(one.numbers, mine.numbers))
            seen.append(
                ViewRegions(
                    entries.gaussian.astype(np.int64),
                    entries.id.astype(np.int64) - 1,
                    entries.weight.astype(np.float64),
                    mine.pixels,
                    mine.specific,
                    mine.numbers if regions == "instances" else None,
                )
            )
    with job.stage("join regions"):
        things = join(seen, len(gaussians))
        job.check()
        specific, context = words(things, described, clip.dim)
        specific, context, word_of = shortened(specific, context, weights_of(things))
        index, weight, confidence = pairs(len(gaussians), *added_up((things.gaussian, word_of[things.thing], things.weight)))
        instance = owners(things, len(gaussians))
    book = Codebook(clip.name, clip.key, specific.astype(np.float16), context.astype(np.float16), index, weight, confidence)
    return Language(book, instance, notes)


@dataclass(frozen=True)
class Regions:
    """numbers: [H, W] int32 of a view's regions, 0 for none. frame: the scene as the view sees it."""

    view: View
    frame: Frame
    numbers: npt.NDArray[np.int32]


def region_maps(views: Sequence[View], frames: Sequence[Frame], kind: str, job: Job) -> tuple[list[Regions], list[str]]:
    """Regions of each view that has some; and notes on those without."""
    if kind == "instances":
        found = [
            Regions(view, frame, view.index)
            for view, frame in zip(views, frames, strict=True)
            if view.index is not None and view.index.any()
        ]
        if not found:
            raise InvalidInput("No view has an instance map that shows anything.", "Use the regions 'segments'.")
        missing = len(views) - len(found)
        return found, [f"{missing} of {len(views)} views have no instance map and were left out."] if missing else []
    if kind != "segments":
        raise InvalidInput(f"There are no regions '{kind}'.", "Regions: instances, segments.")
    out = []
    with job.stage("find regions"):
        for place, (view, frame) in enumerate(zip(views, frames, strict=True)):
            job.progress(place / len(views), view.name)
            whole = view if view.depth is not None else replace(view, depth=frame.render().depth)
            out.append(Regions(view, frame, segments(whole)))
    return out, []


@dataclass(frozen=True)
class Described:
    """R regions of a view. numbers: [R] in its map. pixels: [R]. specific, context: [R, D] unit vectors."""

    numbers: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.int64]
    specific: npt.NDArray[np.float32]
    context: npt.NDArray[np.float32]


def describe(found: Sequence[Regions], clip: Clip, job: Job) -> list[Described]:
    """What the model says of each view's regions."""
    out = []
    with job.stage("describe regions"):
        for place, one in enumerate(found):
            job.progress(place / len(found), one.view.name)
            names, counts = np.unique(one.numbers[one.numbers > 0], return_counts=True)
            names, counts = names[counts >= LEAST_PIXELS], counts[counts >= LEAST_PIXELS]
            vectors = describe_regions(clip, one.view.rgb, [one.numbers == name for name in names], job)
            out.append(
                Described(names.astype(np.int64), counts.astype(np.int64), vectors.specific.numpy(), vectors.context.numpy())
            )
    return out


def local(numbers: npt.NDArray[np.int32], names: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """A map of region numbers -> places among `names`, from 1 on; 0 for others."""
    if not len(names):
        return np.zeros_like(numbers)
    place = np.searchsorted(names, numbers).clip(max=len(names) - 1)
    return np.where(names[place] == numbers, place + 1, 0).astype(np.int32)


def words(things: Things, described: Sequence[Described], dim: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Vectors [T, D] of both kinds of each thing: means over its regions, larger ones counting more."""
    sums = np.zeros((2, things.count, dim), np.float64)
    for mine, one in zip(things.of, described, strict=True):
        weight = np.sqrt(one.pixels)[:, None]
        np.add.at(sums[0], mine, weight * one.specific)
        np.add.at(sums[1], mine, weight * one.context)
    unit = sums / np.maximum(np.linalg.norm(sums, axis=-1, keepdims=True), 1e-12)
    return unit[0].astype(np.float32), unit[1].astype(np.float32)


def weights_of(things: Things) -> npt.NDArray[np.float64]:
    """[T] how much of the scene each thing claims."""
    return np.bincount(things.thing, things.weight, minlength=things.count).astype(np.float64)


def shortened(
    specific: npt.NDArray[np.float32], context: npt.NDArray[np.float32], weight: npt.NDArray[np.float64], most: int = WORDS_MOST
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """At most so many words, and the word of each thing: the lightest things take the word of the likest heavier one."""
    if len(specific) <= most:
        return specific, context, np.arange(len(specific))
    order = np.argsort(-weight, kind="stable")
    kept = np.sort(order[:most])
    likeness = specific @ specific[kept].T + context @ context[kept].T
    word_of = likeness.argmax(1)
    word_of[kept] = np.arange(most)
    return specific[kept], context[kept], word_of


def owners(things: Things, gaussians: int) -> npt.NDArray[np.int32]:
    """[N] the number of the thing that claims each Gaussian most, 0 for none."""
    out = np.zeros(gaussians, np.int32)
    best = heaviest(things.gaussian, things.weight)
    best = best[things.weight[best] > 0]
    out[things.gaussian[best]] = things.numbers[things.thing[best]]
    return out
