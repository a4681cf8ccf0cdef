# SPDX-License-Identifier: GPL-3.0-or-later
"""Names for a scene's Gaussians, typed and not trained for: the product's way, and what it is held against.

All have the same Gaussians (depth-pass), the same model, and the same names and prompts. Each gives scores [N, C] of the names; the picture of a
novel view shows the name whose scores, blended, are highest. "Per pixel" asks the novel view's own picture and knows no scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from splatonym.core.codebook import spread
from splatonym.core.gaussians import GaussianArrays
from splatonym.core.labels import UNLABELLED, LabelMap
from splatonym.core.scene import SemanticScene
from splatonym.core.views import View
from splatonym.server.job import Job
from splatonym.server.rasterize.contract import Backend, RasterSettings
from splatonym.server.semantics import regions
from splatonym.server.semantics.clip.cache import FeatureCache
from splatonym.server.semantics.clip.images import dense_map
from splatonym.server.semantics.clip.models import Clip
from splatonym.server.semantics.clip.text import name_vectors
from splatonym.server.semantics.language import Language, describe, listen, local
from splatonym.server.semantics.naming import Wording, relabel

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Asked:
    """Gaussians and views of them, a model, and the names that are asked for."""

    gaussians: GaussianArrays
    views: Sequence[View]
    clip: Clip
    labels: LabelMap
    backend: Backend
    cache: FeatureCache
    job: Job

    @property
    def names(self) -> list[str]:
        return [name for name in self.labels.names if name != UNLABELLED]


def heard(asked: Asked, kind: str) -> Language:
    """The product's codebook."""
    chosen, _ = regions.choose(kind, asked.views)
    return listen(asked.gaussians, asked.views, asked.clip, chosen, asked.backend, asked.job, asked.cache)


def scene_of(asked: Asked, found: Language, wording: Wording) -> SemanticScene:
    """The product's names."""
    gaussians = replace(asked.gaussians, words=found.words, shares=found.shares, instance=found.instance)
    scene = SemanticScene("s", gaussians, asked.labels, {}, found.codebook)
    return relabel(scene, asked.labels, asked.clip, wording, asked.job)


def full_features(asked: Asked, kind: str) -> Floats:
    """[N, D] unit: region vectors of every pixel, both kinds added, registered whole: what the codebook is a short form of."""
    chosen, _ = regions.choose(kind, asked.views)
    sums = np.zeros((len(asked.gaussians), asked.clip.dim), np.float32)
    frames = asked.backend.prepare_all(asked.gaussians, [view.camera for view in asked.views], RasterSettings(), asked.job)
    for view, frame in zip(asked.views, frames, strict=True):
        numbers = chosen.of(view, frame, asked.job)
        mine = describe(view, numbers, asked.clip, asked.cache, asked.job)
        both = F.normalize(mine.vectors.specific + mine.vectors.context, dim=1).numpy()
        table = np.concatenate([np.zeros((1, asked.clip.dim), np.float32), both])
        sums += frame.register(np.ascontiguousarray(table[local(numbers, mine.numbers)]))[0]
    return unit(sums)


def dense_features(asked: Asked) -> Floats:
    """[N, D] unit: dense features of the pixels, registered whole (Dr. Splat)."""
    sums = np.zeros((len(asked.gaussians), asked.clip.dim), np.float32)
    frames = asked.backend.prepare_all(asked.gaussians, [view.camera for view in asked.views], RasterSettings(), asked.job)
    for view, frame in zip(asked.views, frames, strict=True):
        sums += frame.register(pixel_features(asked.clip, view.rgb, asked.job))[0]
    return unit(sums)


def pixel_features(clip: Clip, rgb: npt.NDArray[np.uint8], job: Job) -> Floats:
    """[H, W, D] dense features of a picture, brought to its resolution."""
    maps = dense_map(clip, rgb, job)[None]
    wide = F.interpolate(maps, size=rgb.shape[:2], mode="bilinear", align_corners=False)[0]
    return np.ascontiguousarray(F.normalize(wide, dim=0).permute(1, 2, 0).numpy())


def unit(vectors: Floats) -> Floats:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def likeness(asked: Asked, features: Floats) -> Floats:
    """Cosines [.., C] of features with the names."""
    vectors = name_vectors(asked.clip, asked.names, asked.labels.synonyms)
    return (torch.from_numpy(features) @ vectors.T).numpy()


def hard(label: npt.NDArray[np.int32], confidence: Floats, count: int) -> Floats:
    """Labels as scores [N, count]; others than the names score nothing."""
    out = np.zeros((len(label), count), np.float32)
    known = np.flatnonzero(label < count)
    out[known, label[known]] = 1
    return out


def word_likeness(asked: Asked, found: Language, text: Sequence[str]) -> Floats:
    """[N, T] how well each Gaussian's words fit texts, for heat maps."""
    vectors = name_vectors(asked.clip, text)
    of_words = [
        torch.from_numpy(part.astype(np.float32)) @ vectors.T for part in (found.codebook.specific, found.codebook.context)
    ]
    words = torch.stack(of_words).amax(0).numpy()
    return spread(found.words, found.shares, words)
