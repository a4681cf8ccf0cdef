# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures for a CLIP model, and what it says of them: of each patch, and of each region."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ...job import Job
from ...torch_work import in_batches
from .dense import Attention
from .models import Clip

Rgb = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

PATCHES = 28
"""Patches along the shorter side of a picture, at least: finer than one look at the model's own size gives."""
OVERLAP = 0.5
CONTEXT = 1.6
"""The crop with context is so many times as wide as the region's box."""
MARGIN = 1.1
AT_ONCE = 32


def dense_map(clip: Clip, rgb: Rgb, job: Job, *, patches: int = PATCHES, attention: Attention = "correlative") -> Tensor:
    """Unit vectors [D, h, w] float32 of a picture's patches, all of it covered.

    The picture is brought to `patches` patches along its shorter side and looked at through windows of the model's own size, which overlap
    by half; where they do, they are averaged, the middle of a window counting more than its border.
    """
    height, width = fitted_size(rgb.shape[0], rgb.shape[1], max(patches * clip.stride, clip.size), clip.stride)
    pixels = clip.normalised(resized(rgb, height, width, clip.bicubic))
    side, step = clip.size, clip.stride
    total = torch.zeros(clip.dim, height // step, width // step)
    weight = torch.zeros(height // step, width // step)
    taper = _taper(side // step)
    corners = [(top, left) for top in starts(height, side, step) for left in starts(width, side, step)]

    def ask(some: Sequence[tuple[int, int]]) -> Tensor:
        windows = torch.stack([pixels[:, top : top + side, left : left + side] for top, left in some])
        return F.normalize(clip.look(windows, attention).patches, dim=1)

    for (top, left), found in zip(corners, in_batches(corners, ask, AT_ONCE, clip.name, job), strict=True):
        rows, columns = slice(top // step, (top + side) // step), slice(left // step, (left + side) // step)
        total[:, rows, columns] += found * taper
        weight[rows, columns] += taper
    return F.normalize(total / weight, dim=0)


def fitted_size(height: int, width: int, shorter: int, step: int) -> tuple[int, int]:
    """About the same shape, the shorter side `shorter`, both multiples of `step` and neither below `shorter`."""
    scale = shorter / min(height, width)
    rows, columns = (max(round(side * scale / step), math.ceil(shorter / step)) * step for side in (height, width))
    return rows, columns


def starts(length: int, side: int, step: int) -> list[int]:
    """Where windows begin so that they cover `length`: multiples of `step`, the last one ending with the picture."""
    if length <= side:
        return [0]
    count = math.ceil((length - side) / (side * (1 - OVERLAP))) + 1
    return [round((length - side) * k / (count - 1) / step) * step for k in range(count)]


def _taper(count: int) -> Tensor:
    """[count, count] weights that fall towards the border of a window, never to 0."""
    place = (torch.arange(count) + 0.5) / count
    edge = torch.sin(math.pi * place).clamp(min=0.1)
    return edge[:, None] * edge


def resized(rgb: Rgb, height: int, width: int, bicubic: bool = True) -> Rgb:
    """As the models' own transforms do it: Pillow's filters, antialiased, on 8-bit values."""
    if rgb.shape[:2] == (height, width):
        return rgb
    kind = Image.Resampling.BICUBIC if bicubic else Image.Resampling.BILINEAR
    return np.array(Image.fromarray(rgb).resize((width, height), kind))


@dataclass(frozen=True)
class RegionVectors:
    """Unit vectors of R regions, [R, D] float32 each. specific: of the region alone on a plain ground. context: of it with what is around."""

    specific: Tensor
    context: Tensor


def describe_regions(clip: Clip, rgb: Rgb, masks: Sequence[Mask], job: Job) -> RegionVectors:
    """What the model says of regions of a picture, each a mask [H, W] with at least one pixel."""
    if not masks:
        return RegionVectors(torch.zeros(0, clip.dim), torch.zeros(0, clip.dim))

    def ask(some: Sequence[Mask]) -> Tensor:
        return clip.encode_pictures(torch.stack([crop for mask in some for crop in _crops(clip, rgb, mask)]))

    vectors = in_batches(masks, ask, AT_ONCE // 2, clip.name, job)
    return RegionVectors(vectors[0::2], vectors[1::2])


def _crops(clip: Clip, rgb: Rgb, mask: Mask) -> Iterator[Tensor]:
    """First the masked crop, then the one with context."""
    ground = np.round(np.array(clip.mean) * 255).astype(np.uint8)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1)
    alone = np.where(mask[..., None], rgb, ground)
    for picture, wider in ((alone, MARGIN), (rgb, CONTEXT)):
        yield clip.normalised(resized(square(picture, box, wider, ground), clip.size, clip.size, clip.bicubic))


def square(rgb: Rgb, box: tuple[int, int, int, int], wider: float, ground: npt.NDArray[np.uint8]) -> Rgb:
    """The square around a box (top, bottom, left, right), `wider` times its longer side; what lies outside the picture is `ground`."""
    top, bottom, left, right = box
    side = max(1, math.ceil(max(bottom - top, right - left) * wider))
    first_row, first_column = (top + bottom - side) // 2, (left + right - side) // 2
    out = np.empty((side, side, 3), np.uint8)
    out[:] = ground
    inside = (
        max(first_row, 0), min(first_row + side, rgb.shape[0]), max(first_column, 0), min(first_column + side, rgb.shape[1]),
    )  # fmt: skip
    out[inside[0] - first_row : inside[1] - first_row, inside[2] - first_column : inside[3] - first_column] = rgb[
        inside[0] : inside[1], inside[2] : inside[3]
    ]
    return out
