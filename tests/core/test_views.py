# SPDX-License-Identifier: GPL-3.0-or-later
"""Views: what is accepted and what is refused, by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from splatonym.core.cameras import Camera, intrinsics
from splatonym.core.errors import InvalidInput
from splatonym.core.views import View

CAMERA = Camera(4, 3, intrinsics(5, 5, 2, 1.5), np.eye(4))
VIEW = View(
    "Camera.001", CAMERA, np.zeros((3, 4, 3), np.uint8), np.ones((3, 4), np.float32), np.zeros((3, 4), np.int32)
)  # fmt: skip


def one(value: float) -> np.ndarray:
    depth = np.ones((3, 4), np.float32)
    depth[1, 2] = value
    return depth


def test_documented_views_are_valid() -> None:
    VIEW.validate()
    replace(VIEW, depth=None, index=None).validate()
    replace(VIEW, depth=one(0)).validate()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rgb": np.zeros((4, 3, 3), np.uint8)}, ("picture", "(4, 3, 3)", "(3, 4, 3)")),
        ({"rgb": np.zeros((3, 4, 4), np.uint8)}, ("picture",)),
        ({"rgb": np.zeros((3, 4, 3), np.float32)}, ("picture", "float32", "uint8")),
        ({"depth": np.ones((3, 5), np.float32)}, ("depth", "(3, 5)")),
        ({"depth": np.ones((3, 4), np.float64)}, ("depth", "float64")),
        ({"depth": one(np.nan)}, ("depth", "1 values")),
        ({"depth": one(np.inf)}, ("depth", "1 values")),
        ({"depth": one(-0.25)}, ("negative", "-0.25")),
        ({"index": np.zeros((3, 4), np.int64)}, ("instance map", "int64")),
        ({"index": np.full((3, 4), -1, np.int32)}, ("instance map", "negative")),
    ],
)
def test_other_views_are_refused(changes: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput) as caught:
        replace(VIEW, **changes).validate()
    assert all(word in caught.value.message for word in ("Camera.001", *words))
