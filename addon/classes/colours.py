# SPDX-License-Identifier: GPL-3.0-or-later
"""Colours of classes: what people see in swatches is linear light, what label sets hold is sRGB from 0 to 255."""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np

from ...core.labels import label_colour

RGB = tuple[int, int, int]


def class_colour(name: str) -> RGB:
    """The colour that a class begins with, sRGB 0..255."""
    return label_colour(name)


def srgb(colour: Sequence[float]) -> RGB:
    """Linear light 0..1 as sRGB 0..255."""
    values = np.clip(np.asarray(colour[:3], float), 0, 1)
    encoded = np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)
    red, green, blue = (round(value * 255) for value in encoded)
    return red, green, blue


def tag_near(colour: Sequence[float]) -> str:
    """The collection colour of the person's theme that is nearest to a colour in linear light."""
    tags = np.array([tag.color[:] for tag in bpy.context.preferences.themes[0].collection_color])
    return f"COLOR_{int(((tags - np.array(srgb(colour)) / 255) ** 2).sum(axis=1).argmin()) + 1:02d}"
