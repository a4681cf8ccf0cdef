# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaussian arrays: validation, selection and colour."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from splatonym.core.errors import InvalidInput
from splatonym.core.gaussians import SH_C0, GaussianArrays, sh_from_rgb


def some(n: int = 5, bands: int = 4) -> GaussianArrays:
    draw = np.random.default_rng(n)
    quats = draw.normal(size=(n, 4))
    return GaussianArrays(
        means=draw.normal(size=(n, 3)).astype(np.float32),
        quats=(quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        scales=draw.uniform(0.01, 1, (n, 3)).astype(np.float32),
        opacities=draw.uniform(0, 1, n).astype(np.float32),
        sh=draw.normal(size=(n, bands, 3)).astype(np.float32),
        label=draw.integers(0, 9, n, dtype=np.int32),
        instance=draw.integers(0, 9, n, dtype=np.int32),
        confidence=draw.uniform(0, 1, n).astype(np.float32),
        words=draw.integers(0, 256, (n, 4), dtype=np.uint8),
        shares=draw.integers(0, 64, (n, 4), dtype=np.uint8),
        taught=draw.integers(-1, 9, n, dtype=np.int32),
    )


@pytest.mark.parametrize("bands", [1, 4, 9, 16])
@pytest.mark.parametrize("n", [0, 1, 7])
def test_documented_arrays_are_valid(n: int, bands: int) -> None:
    some(n, bands).validate()
    replace(some(n, bands), label=None, instance=None, confidence=None).validate()
    assert some(n, bands).sh_degree == {1: 0, 4: 1, 9: 2, 16: 3}[bands]


def spoiled(name: str, value: float) -> dict[str, Any]:
    array = getattr(some(), name).copy()
    array[3] = value
    return {name: array}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"means": np.zeros((5, 2), np.float32)}, "means"),
        ({"means": np.zeros((5, 3))}, "float64"),
        ({"scales": np.ones((4, 3), np.float32)}, "scales"),
        ({"sh": np.zeros((5, 2, 3), np.float32)}, "1, 4, 9 or 16"),
        ({"sh": np.zeros((5, 3), np.float32)}, "1, 4, 9 or 16"),
        ({"label": np.zeros(5, np.int64)}, "int64"),
        (spoiled("means", np.nan), "Gaussian 3 has means"),
        (spoiled("sh", np.inf), "Gaussian 3 has sh"),
        (spoiled("scales", 0), "positive"),
        (spoiled("scales", -1), "-1"),
        (spoiled("quats", 1), "quaternions"),
        (spoiled("quats", 0), "quaternions"),
        (spoiled("opacities", 1.01), "opacities"),
        (spoiled("opacities", -0.01), "opacities"),
        (spoiled("confidence", 1.5), "confidence"),
        (spoiled("confidence", np.nan), "confidence"),
        (spoiled("label", -2), "-2"),
        (spoiled("instance", -1), "instance"),
    ],
)
def test_other_arrays_are_refused(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        replace(some(), **changes).validate()


@pytest.mark.parametrize("which", [np.array([True, False, True, True, False]), np.array([4, 0, 0])])
def test_select_takes_every_array_along(which: np.ndarray) -> None:
    chosen = some().select(which)
    chosen.validate()
    for f in fields(chosen):
        array = getattr(chosen, f.name)
        assert array.flags.c_contiguous
        np.testing.assert_array_equal(array, getattr(some(), f.name)[which])
    assert replace(some(), label=None).select(which).label is None


def test_colour_goes_to_harmonics_and_back() -> None:
    rgb = np.array([[0.0, 0.5, 1.0], [0.25, 0.75, 0.1]])
    sh = sh_from_rgb(rgb)
    assert sh.shape == (2, 1, 3) and sh.dtype == np.float32
    np.testing.assert_allclose(sh[:, 0], (rgb - 0.5) / 0.28209479177387814, rtol=1e-6)
    np.testing.assert_allclose(replace(some(2, 1), sh=sh).rgb, rgb, atol=1e-6)
    assert np.isclose(1 / (2 * np.sqrt(np.pi)), SH_C0)


def test_colour_is_clipped() -> None:
    assert replace(some(1, 1), sh=np.full((1, 1, 3), 9, np.float32)).rgb.max() == 1
