# SPDX-License-Identifier: GPL-3.0-or-later
"""Picture, depth and label quality, on all pixels or on those of a mask."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Image = npt.NDArray[np.generic]


def psnr(image: Image, truth: Image, mask: Mask | None = None) -> float:
    """Peak signal-to-noise ratio in dB of uint8 pictures [H, W, 3] (peak 255); inf where equal, nan on an empty mask."""
    error = (image.astype(np.float64) - truth.astype(np.float64)) ** 2
    if mask is not None:
        error = error[mask]
    if not error.size:
        return float("nan")
    mean = error.mean()
    return float("inf") if mean == 0 else float(10 * np.log10(255.0**2 / mean))


def ssim(image: Image, truth: Image, mask: Mask | None = None) -> float:
    """Structural similarity of uint8 pictures [H, W, 3]; mean over the mask of the per-pixel map.

    Wang et al. 2004: Gaussian window of 11 pixels, sigma 1.5, K1 = 0.01, K2 = 0.03, per channel. Edges are mirrored.
    """
    x, y = image.astype(np.float64), truth.astype(np.float64)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mx, my = _blur(x), _blur(y)
    vx, vy, vxy = _blur(x * x) - mx * mx, _blur(y * y) - my * my, _blur(x * y) - mx * my
    values = ((2 * mx * my + c1) * (2 * vxy + c2)) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    if mask is not None:
        values = values[mask]
    return float(values.mean()) if values.size else float("nan")


def _blur(image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    reach = 5
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / 1.5) ** 2)
    window /= window.sum()
    for axis in (0, 1):
        pad = [(reach, reach) if a == axis else (0, 0) for a in range(image.ndim)]
        padded = np.pad(image, pad, mode="symmetric")
        size = image.shape[axis]
        image = np.zeros_like(image)
        for k, weight in enumerate(window):
            image += weight * np.take(padded, range(k, k + size), axis=axis)
    return image


def confusion(predicted: Image, truth: Image, classes: int, mask: Mask | None = None) -> npt.NDArray[np.int64]:
    """[classes, classes + 1] counts, row = true id, column = predicted id; the last column is any other prediction.

    Pixels whose true id is outside 0..classes-1 are left out.
    """
    t, p = truth.astype(np.int64).ravel(), predicted.astype(np.int64).ravel()
    keep = (t >= 0) & (t < classes)
    if mask is not None:
        keep &= mask.ravel()
    p = np.where((p >= 0) & (p < classes), p, classes)
    flat = np.bincount(t[keep] * (classes + 1) + p[keep], minlength=classes * (classes + 1))
    return flat.reshape(classes, classes + 1)


def class_iou(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """[classes] intersection over union of a `confusion`; nan for a class that the truth does not have."""
    square = counts[:, : len(counts)]
    hit = np.diag(square).astype(np.float64)
    union = counts.sum(1) + square.sum(0) - hit
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(counts.sum(1) > 0, hit / union, np.nan)


def mean_iou(counts: npt.NDArray[np.int64]) -> float:
    """Mean intersection over union over the classes that the truth has."""
    iou = class_iou(counts)
    return float(np.nanmean(iou)) if np.isfinite(iou).any() else float("nan")


def accuracy(counts: npt.NDArray[np.int64]) -> float:
    """Share of the pixels whose class is right."""
    total = counts.sum()
    return float(np.trace(counts[:, : len(counts)]) / total) if total else float("nan")


def depth_abs_rel(depth: npt.NDArray[np.floating], truth: npt.NDArray[np.floating], mask: Mask | None = None) -> float:
    """Mean of |depth - truth| / truth over the pixels where both are above 0."""
    keep = (truth > 0) & (depth > 0)
    if mask is not None:
        keep &= mask
    d, t = depth[keep].astype(np.float64), truth[keep].astype(np.float64)
    return float((np.abs(d - t) / t).mean()) if d.size else float("nan")


def depth_within(
    depth: npt.NDArray[np.floating], truth: npt.NDArray[np.floating], mask: Mask | None = None, ratio: float = 1.25
) -> float:
    """Share of the pixels where both are above 0 whose depth is the true one within a factor (delta < 1.25, Eigen et al. 2014)."""
    keep = (truth > 0) & (depth > 0)
    if mask is not None:
        keep &= mask
    d, t = depth[keep].astype(np.float64), truth[keep].astype(np.float64)
    return float((np.maximum(d / t, t / d) < ratio).mean()) if d.size else float("nan")
