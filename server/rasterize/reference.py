# SPDX-License-Identifier: GPL-3.0-or-later
"""The readable rasterizer, in torch: the oracle of every faster backend.

A picture is cut into blocks of pixels. In a block the splats are taken front to back, some at a time, and turned into a flat list of
(pixel, Gaussian, alpha) with exactly the pixels that a splat reaches; sorted by pixel, its transmittances are sums of logarithms.
What is left is (pixel, Gaussian, weight), a sparse matrix: rendering and registration are its products.
Memory is bounded by the pairs handled at a time, however large or many the splats are; a block ends when all its pixels are opaque.
All of it is float64, for the oracle's sake, and nothing is written in place that a gradient needs: `rasterize` is the same code with
autograd looking on. It keeps what autograd needs of every pair, about 200 bytes, so it is for small pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...core.cameras import Camera
from ...core.gaussians import GaussianArrays
from ..job import Job
from .checks import (
    check_background,
    check_features,
    check_gaussian_ids,
    check_image,
    check_pixel_ids,
    check_tensors,
    check_topk,
)
from .contract import ALPHA_MOST, TRANSMITTANCE_LEAST, Floats, IdWeights, Ints, RasterSettings, Rendered, RenderOutput, TopK
from .harmonics import colours
from .projection import Splats, project, rotations

BLOCK = 64
"""Side of a block in pixels; its square fits 16 bits, which sort faster."""
_LOG_T_LEAST = math.log(TRANSMITTANCE_LEAST)
PAIRS_AT_A_TIME = 1 << 18
"""Pairs expanded at once: about 30 ms of work and 50 MB."""
PAIRS_KEPT = 1 << 23
"""A frame with no more pairs than this (16 bytes each) keeps them for its next question."""


@dataclass(frozen=True)
class Pairs:
    """pixel: [M] int32, row * width + column. gaussian: [M] int32. weight: [M] float64, T * alpha."""

    pixel: torch.Tensor
    gaussian: torch.Tensor
    weight: torch.Tensor


class Reference:
    """The backend: torch on the GPU if there is one, else on the CPU."""

    name = "reference"
    version = f"torch {torch.__version__}"

    def __init__(self, device: str | None = None) -> None:
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        if self.device == "cpu":
            # Its operations are short, and torch's OpenMP threads spin between them: with another process on the same cores (Blender
            # is one) a view took 18 s on two threads and 0.6 s on one.
            torch.set_num_threads(1)

    def ready(self, job: Job) -> None:
        """torch is all it needs."""
        job.check()

    def prepare(self, gaussians: GaussianArrays, camera: Camera, settings: RasterSettings, job: Job) -> ReferenceFrame:
        return next(self.prepare_all(gaussians, [camera], settings, job))

    def prepare_all(
        self, gaussians: GaussianArrays, cameras: Sequence[Camera], settings: RasterSettings, job: Job
    ) -> Iterator[ReferenceFrame]:
        gaussians.validate()
        on_device = Tensors.of(gaussians, torch.device(self.device))
        return (ReferenceFrame(on_device, camera, settings, job) for camera in cameras)

    def rasterize(
        self,
        means: torch.Tensor,
        quats: torch.Tensor,
        scales: torch.Tensor,
        opacities: torch.Tensor,
        features: torch.Tensor,
        cameras: Sequence[Camera],
        background: torch.Tensor | None = None,
        settings: RasterSettings = RasterSettings(),  # noqa: B008 - it is frozen
    ) -> Rendered:
        check_tensors(means, quats, scales, opacities, features, cameras, background, dtypes=("float32", "float64"))
        means64, quats64, scales64, opacities64 = (tensor.to(torch.float64) for tensor in (means, quats, scales, opacities))
        pictures = []
        for number, camera in enumerate(cameras):
            splats = project(means64, quats64, scales64, opacities64, camera, settings)
            values = (features[number] if features.ndim == 3 else features).to(torch.float64)
            blended, depth, alpha = _picture(splats, values, camera, _all_pairs(splats, camera, Job()))
            if background is not None:
                behind = background[number] if background.ndim == 2 else background
                blended = blended + (1 - alpha)[..., None] * behind.to(torch.float64)
            pictures.append((blended, depth, alpha))
        return Rendered(*(torch.stack(parts).to(means.dtype) for parts in zip(*pictures, strict=True)))


@dataclass(frozen=True)
class Tensors:
    """GaussianArrays as float64 tensors on the device."""

    means: torch.Tensor
    quats: torch.Tensor
    scales: torch.Tensor
    opacities: torch.Tensor
    sh: torch.Tensor

    @staticmethod
    def of(g: GaussianArrays, device: torch.device) -> Tensors:
        return Tensors(*(_tensor(array, device) for array in (g.means, g.quats, g.scales, g.opacities, g.sh)))

    def __len__(self) -> int:
        return len(self.means)

    def colours(self, camera: Camera) -> torch.Tensor:
        """[N, 3], as the camera sees them."""
        return colours(self.sh, self.means, _tensor(camera.position, self.means.device))

    def normals(self, camera: Camera) -> torch.Tensor:
        """[N, 3] unit vectors in the world's axes: the shortest axes, turned toward the camera."""
        shortest = self.scales.argmin(1)
        axes = rotations(self.quats)[torch.arange(len(self), device=shortest.device), :, shortest]
        pose = _tensor(camera.T_world_camera, axes.device)
        view = self.means - pose[:3, 3] if camera.projection == "perspective" else pose[:3, 2].expand_as(axes)
        return torch.where((axes * view).sum(1, keepdim=True) > 0, -axes, axes)


class ReferenceFrame:
    """Gaussians prepared for one camera; see contract.Frame."""

    def __init__(self, gaussians: Tensors, camera: Camera, settings: RasterSettings, job: Job) -> None:
        self._gaussians, self._camera, self._job = gaussians, camera, job
        self._device = gaussians.means.device
        self._pixels = camera.width * camera.height
        job.check()
        with torch.inference_mode():
            g = gaussians
            self._splats = project(g.means, g.quats, g.scales, g.opacities, camera, settings)
        self._kept: list[Pairs] | None = None

    @torch.inference_mode()
    def render(
        self, features: Floats | None = None, background: Floats | None = None, *, normals: bool = False
    ) -> RenderOutput:
        if features is None:
            values = self._gaussians.colours(self._camera)
        else:
            check_features(features, len(self._gaussians))
            values = self._tensor(features)
        channels = values.shape[1]
        if background is not None:
            check_background(background, channels)
        if normals:
            values = torch.cat([values, self._gaussians.normals(self._camera)], 1)
        blended, depth, alpha = _picture(self._splats, values, self._camera, self._pairs())
        towards = torch.nn.functional.normalize(blended[..., channels:], dim=-1)
        blended = blended[..., :channels]
        if background is not None:
            blended = blended + (1 - alpha)[..., None] * self._tensor(background)
        return RenderOutput(_floats(blended), _floats(depth), _floats(alpha), _floats(towards) if normals else None)

    @torch.inference_mode()
    def topk(self, k: int) -> TopK:
        check_topk(k)
        few = _heaviest(_joined([_heaviest(pairs, k) for pairs in self._pairs()], self._device), k)
        ids = np.full((self._pixels, k), -1, np.int32)
        weights = np.zeros((self._pixels, k), np.float32)
        pixel = few.pixel.long()
        place = (pixel.cpu().numpy(), _counting(torch.bincount(pixel, minlength=self._pixels)).cpu().numpy())
        ids[place], weights[place] = few.gaussian.cpu().numpy(), _floats(few.weight)
        shape = (self._camera.height, self._camera.width, k)
        return TopK(ids.reshape(shape), weights.reshape(shape))

    @torch.inference_mode()
    def register(self, image: Floats) -> tuple[Floats, Floats]:
        check_image(image, self._camera)
        values = self._tensor(image).reshape(self._pixels, -1)
        values = torch.cat([values, torch.ones_like(values[:, :1])], 1)
        out = torch.zeros((len(self._gaussians), values.shape[1]), dtype=torch.float64, device=self._device)
        for pairs in self._pairs():
            out.index_add_(0, pairs.gaussian, pairs.weight[:, None] * values.index_select(0, pairs.pixel))
        sums = _floats(out)
        return np.ascontiguousarray(sums[:, :-1]), np.ascontiguousarray(sums[:, -1])

    @torch.inference_mode()
    def register_ids(self, ids: Ints) -> IdWeights:
        check_pixel_ids(ids, self._camera)
        known, place = np.unique(ids, return_inverse=True)
        places = torch.as_tensor(place.reshape(-1), device=self._device)
        keys, weights = self._sums(
            (pairs.gaussian.long() * len(known) + places.index_select(0, pairs.pixel), pairs.weight) for pairs in self._pairs()
        )
        found = known[keys % len(known)].astype(np.int32)
        keep = found != 0
        return IdWeights((keys // len(known)).astype(np.int32)[keep], found[keep], weights.astype(np.float32)[keep])

    @torch.inference_mode()
    def dominant_id(self, ids: Ints) -> tuple[Ints, Floats]:
        check_gaussian_ids(ids, len(self._gaussians))
        known, place = np.unique(ids, return_inverse=True)
        places = torch.as_tensor(place.reshape(-1), device=self._device)
        keys, weights = self._sums(
            (pairs.pixel.long() * len(known) + places.index_select(0, pairs.gaussian), pairs.weight) for pairs in self._pairs()
        )
        pixels = keys // max(len(known), 1)
        order = np.lexsort((-weights, pixels))  # stable: the smaller id first among equals
        first = order[np.unique(pixels, return_index=True)[1]]
        winner, share = np.zeros(self._pixels, np.int32), np.zeros(self._pixels, np.float32)
        winner[pixels[first]], share[pixels[first]] = known[keys[first] % max(len(known), 1)], weights[first]
        size = (self._camera.height, self._camera.width)
        return winner.reshape(size), share.reshape(size)

    def _tensor(self, array: Floats) -> torch.Tensor:
        return _tensor(array, self._device)

    def _sums(self, parts: Iterator[tuple[torch.Tensor, torch.Tensor]]) -> tuple[np.ndarray, np.ndarray]:
        """Pieces of (keys, weights) -> the distinct keys, sorted, and the sum of each one's weights."""
        keys, sums = (
            torch.zeros(0, dtype=torch.int64, device=self._device),
            torch.zeros(0, dtype=torch.float64, device=self._device),
        )
        collected = [(keys, sums), *(_sum_by_key(*part) for part in parts)]
        keys, sums = _sum_by_key(*map(torch.cat, zip(*collected, strict=True)))
        return keys.cpu().numpy(), sums.cpu().numpy()

    def _pairs(self) -> Iterator[Pairs]:
        """All pairs of the frame, piece by piece; kept if they are few."""
        self._job.check()
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[Pairs] | None = []
        total = 0
        for pairs in _all_pairs(self._splats, self._camera, self._job):
            total += len(pairs.weight)
            if total > PAIRS_KEPT:
                kept = None
            if kept is not None:
                kept.append(pairs)
            yield pairs
        self._kept = kept


def _tensor(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """A float64 copy, for torch takes no array that is read-only or runs backwards."""
    return torch.from_numpy(np.array(array, np.float64, order="C")).to(device)


def _floats(values: torch.Tensor) -> Floats:
    return values.to(torch.float32).cpu().numpy()


def _picture(
    splats: Splats, values: torch.Tensor, camera: Camera, pieces: Iterable[Pairs]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Blend values [N, C] -> [H, W, C], expected depth [H, W] and alpha [H, W]."""
    depth = torch.zeros_like(values[:, 0]).index_put((splats.gaussian,), splats.depth)
    values = torch.cat([values, depth[:, None], torch.ones_like(depth)[:, None]], 1)
    out = values[:0].sum(0).repeat(camera.height * camera.width, 1)  # zeros, but an empty picture too can be differentiated
    for pairs in pieces:
        out.index_add_(0, pairs.pixel, pairs.weight[:, None] * values.index_select(0, pairs.gaussian))
    out = out.reshape(camera.height, camera.width, -1)
    depth, alpha = out[..., -2], out[..., -1]
    return out[..., :-2], depth / torch.where(alpha > 0, alpha, 1), alpha


def _heaviest(pairs: Pairs, k: int) -> Pairs:
    """The k heaviest pairs of each pixel, sorted by pixel, then weight; of equal ones those that came first."""
    order = torch.sort(pairs.weight, descending=True, stable=True).indices
    order = order[torch.sort(pairs.pixel[order], stable=True).indices]
    order = order[_counting(torch.bincount(pairs.pixel)) < k]
    return Pairs(pairs.pixel[order], pairs.gaussian[order], pairs.weight[order])


def _joined(parts: Sequence[Pairs], device: torch.device) -> Pairs:
    none = torch.zeros(0, dtype=torch.int32, device=device)
    parts = [Pairs(none, none, none.to(torch.float64)), *parts]
    return Pairs(*(torch.cat([getattr(part, name) for part in parts]) for name in ("pixel", "gaussian", "weight")))


def _sum_by_key(keys: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    distinct, place = torch.unique(keys, return_inverse=True)
    return distinct, torch.zeros(len(distinct), dtype=weights.dtype, device=weights.device).index_add_(0, place, weights)


@dataclass(frozen=True)
class Block:
    """Pixels left..right-1, top..bottom-1 of the picture, and the splats [M] int64 whose box touches them, nearest first."""

    left: int
    right: int
    top: int
    bottom: int
    splats: torch.Tensor

    @property
    def width(self) -> int:
        return self.right - self.left

    def places(self, stride: int) -> torch.Tensor:
        """[P] int32, where the block's pixels lie in the picture."""
        rows = torch.arange(self.top, self.bottom, dtype=torch.int32, device=self.splats.device)
        columns = torch.arange(self.left, self.right, dtype=torch.int32, device=self.splats.device)
        return (rows[:, None] * stride + columns).reshape(-1)


def _blocks(splats: Splats, camera: Camera) -> Iterator[Block]:
    for top in range(0, camera.height, BLOCK):
        bottom = min(top + BLOCK, camera.height)
        strip = ((splats.bottom > top) & (splats.top < bottom)).nonzero()[:, 0]
        for left in range(0, camera.width, BLOCK):
            right = min(left + BLOCK, camera.width)
            inside = (splats.right[strip] > left) & (splats.left[strip] < right)
            yield Block(left, right, top, bottom, strip[inside])


def _all_pairs(splats: Splats, camera: Camera, job: Job) -> Iterator[Pairs]:
    """All pairs of a picture, piece by piece; in every pixel the nearest first."""
    for block in _blocks(splats, camera):
        yield from _blend(splats, block, camera.width, job)


def _blend(splats: Splats, block: Block, stride: int, job: Job) -> Iterator[Pairs]:
    """The pairs of a block, front to back, a bounded number at a time."""
    places = block.places(stride)
    first, last = _centres_between(splats.left[block.splats], splats.right[block.splats], block.left, block.right)
    top, bottom = _centres_between(splats.top[block.splats], splats.bottom[block.splats], block.top, block.bottom)
    ends = ((last - first) * (bottom - top)).cumsum(0)  # pairs up to each splat, if they were boxes
    through = torch.zeros(len(places), dtype=torch.float64, device=places.device)  # log T so far
    start, done = 0, 0
    while start < len(block.splats) and bool((through > _LOG_T_LEAST).any()):
        job.check()
        stop = max(int(torch.searchsorted(ends, done + PAIRS_AT_A_TIME, right=True)), start + 1)
        some = slice(start, stop)
        pixel, splat, alpha = _expand(splats, block, block.splats[some], top[some], bottom[some])
        weight, through = _weights(pixel, alpha, through)
        shown = (weight > 0).nonzero()[:, 0]
        pixel, splat = pixel.index_select(0, shown), splat.index_select(0, shown)
        yield Pairs(places.index_select(0, pixel), splats.gaussian.index_select(0, splat).int(), weight.index_select(0, shown))
        start, done = stop, int(ends[stop - 1])


def _centres_between(low: torch.Tensor, high: torch.Tensor, first: int, end: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the pixels first..end-1 of a line, those whose centres lie in [low, high]: from, to (exclusive, not below from)."""
    start = (low - 0.5).clamp(first, end).ceil()
    stop = (high + 0.5).clamp(first, end).floor()
    return start.long(), torch.maximum(start, stop).long()


def _expand(
    splats: Splats, block: Block, chosen: torch.Tensor, top: torch.Tensor, bottom: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pixel (place in the block, int16), splat and alpha of every pair, sorted by pixel; in a pixel the nearest comes first.

    In one row of pixels the quadratic form a dx^2 + 2 b dx dy + c dy^2 is a (x - centre)^2 + (c - b^2/a) dy^2: the row's span is
    exactly the ellipse's, and a pair costs one square and one exponential.
    """
    rows = bottom - top
    splat = torch.repeat_interleave(chosen, rows)
    y = _counting(rows) + torch.repeat_interleave(top, rows)
    a, b, c = splats.conic.index_select(0, splat).unbind(-1)
    reach, dy = splats.reach.index_select(0, splat), y + 0.5 - splats.y.index_select(0, splat)
    centre = splats.x.index_select(0, splat) - b / a * dy
    rest = (c - b * b / a) * dy * dy
    with torch.no_grad():
        half = ((reach - rest).clamp_min(0) / a).sqrt()
        left, right = _centres_between(centre - half, centre + half, block.left, block.right)
    log_alpha = splats.log_opacity.index_select(0, splat) - 0.5 * rest

    spans = torch.where(rest <= reach, right - left, 0)
    step = _counting(spans)
    dx = torch.repeat_interleave(left + 0.5 - centre, spans) + step
    alpha = torch.repeat_interleave(log_alpha, spans) - torch.repeat_interleave(0.5 * a, spans) * dx * dx
    pixel = torch.repeat_interleave((y - block.top) * block.width + left - block.left, spans) + step
    splat = torch.repeat_interleave(splat, spans)
    pixel, order = torch.sort(pixel.to(torch.int16), stable=True)
    alpha = alpha.exp().clamp_max(ALPHA_MOST)
    return pixel.int(), splat.index_select(0, order), alpha.index_select(0, order)


def _counting(lengths: torch.Tensor) -> torch.Tensor:
    """[2, 0, 3] -> [0, 1, 0, 1, 2]."""
    ends = lengths.cumsum(0)
    starts = torch.repeat_interleave(ends - lengths, lengths)
    return torch.arange(len(starts), device=lengths.device) - starts


def _weights(pixel: torch.Tensor, alpha: torch.Tensor, through: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """T * alpha of each pair (0 after its pixel's end), and log T [P] after them, given log T before."""
    step = torch.log1p(-alpha)
    total = step.cumsum(0)
    counts = torch.bincount(pixel, minlength=len(through))
    ends = counts.cumsum(0)
    padded = torch.nn.functional.pad(total, (1, 0))
    offset = through - padded[ends - counts]  # what the pixel's first pair adds to
    after = total + offset.index_select(0, pixel)
    weight = alpha * (after - step).exp()
    return weight.masked_fill(after <= _LOG_T_LEAST, 0), offset + padded[ends]
