# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics against definitions written as loops over pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from splatonym.core import metrics

pictures = hnp.arrays(np.uint8, (6, 5, 3))
masks = hnp.arrays(np.bool_, (6, 5))
maps = hnp.arrays(np.int32, (6, 5), elements=st.integers(-1, 5))


def same(a: float, b: float) -> bool:
    return a == b or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) or (math.isnan(a) and math.isnan(b))


@given(pictures, pictures, masks)
def test_psnr_by_hand(a: Any, b: Any, mask: Any) -> None:
    squares = [(int(a[p][c]) - int(b[p][c])) ** 2 for p in np.ndindex(6, 5) if mask[p] for c in range(3)]
    if not squares:
        expected = math.nan
    elif sum(squares) == 0:
        expected = math.inf
    else:
        expected = 20 * math.log10(255) - 10 * math.log10(sum(squares) / len(squares))
    assert same(metrics.psnr(a, b, mask), expected)


def test_psnr_of_one_step_everywhere() -> None:
    grey = np.full((4, 4, 3), 100, np.uint8)
    assert metrics.psnr(grey, grey + np.uint8(1)) == pytest.approx(48.1308, abs=1e-4)
    assert metrics.psnr(grey, grey) == math.inf


def ssim_by_hand(a: np.ndarray, b: np.ndarray, row: int, column: int) -> float:
    """One pixel's value, weighing its 11x11 neighbourhood in a double loop; pictures go on mirrored beyond their edges."""
    height, width = a.shape
    mirrored = lambda k, n: min(k % (2 * n), 2 * n - 1 - k % (2 * n))  # noqa: E731
    total = mean_a = mean_b = aa = bb = ab = 0.0
    for dr in range(-5, 6):
        for dc in range(-5, 6):
            w = math.exp(-(dr * dr + dc * dc) / (2 * 1.5**2))
            at = mirrored(row + dr, height), mirrored(column + dc, width)
            x, y = float(a[at]), float(b[at])
            total += w
            mean_a, mean_b = mean_a + w * x, mean_b + w * y
            aa, bb, ab = aa + w * x * x, bb + w * y * y, ab + w * x * y
    mean_a, mean_b, aa, bb, ab = (v / total for v in (mean_a, mean_b, aa, bb, ab))
    c1, c2 = 6.5025, 58.5225
    covariance = 2 * (ab - mean_a * mean_b) + c2
    variances = (aa - mean_a**2) + (bb - mean_b**2) + c2
    return (2 * mean_a * mean_b + c1) * covariance / ((mean_a**2 + mean_b**2 + c1) * variances)


@given(pictures, pictures, masks)
@settings(max_examples=8, deadline=None)
def test_ssim_by_hand(a: Any, b: Any, mask: Any) -> None:
    values = [ssim_by_hand(a[..., c], b[..., c], *p) for p in np.ndindex(6, 5) if mask[p] for c in range(3)]
    expected = sum(values) / len(values) if values else math.nan
    assert metrics.ssim(a, b, mask) == pytest.approx(expected, abs=1e-9, nan_ok=True)


@given(pictures, pictures)
@settings(max_examples=20, deadline=None)
def test_ssim_is_symmetric_and_at_most_one(a: Any, b: Any) -> None:
    assert metrics.ssim(a, a) == pytest.approx(1)
    assert metrics.ssim(a, b) == pytest.approx(metrics.ssim(b, a))
    assert metrics.ssim(a, b) <= 1 + 1e-12


@given(maps, maps, masks)
def test_classes_by_sets_of_pixels(predicted: Any, truth: Any, mask: Any) -> None:
    classes = 4
    counts = metrics.confusion(predicted, truth, classes, mask)
    judged = [p for p in np.ndindex(6, 5) if mask[p] and 0 <= truth[p] < classes]
    ious = []
    for k in range(classes):
        is_true = {p for p in judged if truth[p] == k}
        is_said = {p for p in judged if predicted[p] == k}
        iou = len(is_true & is_said) / len(is_true | is_said) if is_true else math.nan
        assert same(float(metrics.class_iou(counts)[k]), iou)
        ious.append(iou)
    there = [iou for iou in ious if not math.isnan(iou)]
    assert counts.shape == (classes, classes + 1) and counts.sum() == len(judged)
    assert same(metrics.mean_iou(counts), sum(there) / len(there) if there else math.nan)
    right = sum(predicted[p] == truth[p] for p in judged)
    assert same(metrics.accuracy(counts), right / len(judged) if judged else math.nan)


@given(maps, maps)
def test_confusions_of_parts_add_up(predicted: Any, truth: Any) -> None:
    parts = [metrics.confusion(predicted[rows], truth[rows], 4) for rows in (slice(0, 2), slice(2, 6))]
    np.testing.assert_array_equal(parts[0] + parts[1], metrics.confusion(predicted, truth, 4))


def test_confusion_of_bytes_with_nothing_as_255() -> None:
    truth = np.array([[0, 1, 255]], np.uint8)
    predicted = np.array([[255, 1, 1]], np.uint8)
    np.testing.assert_array_equal(metrics.confusion(predicted, truth, 2), [[0, 0, 1], [0, 1, 0]])


@given(
    hnp.arrays(np.float32, (6, 5), elements=st.floats(0, 9, width=32)),
    hnp.arrays(np.float32, (6, 5), elements=st.floats(0, 9, width=32)),
    masks,
)
def test_depth_error_by_hand(depth: Any, truth: Any, mask: Any) -> None:
    shares = [
        abs(float(depth[p]) - float(truth[p])) / float(truth[p])
        for p in np.ndindex(6, 5)
        if mask[p] and truth[p] > 0 and depth[p] > 0
    ]
    assert same(metrics.depth_abs_rel(depth, truth, mask), sum(shares) / len(shares) if shares else math.nan)
