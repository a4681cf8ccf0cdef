# SPDX-License-Identifier: GPL-3.0-or-later
"""A histogram that people see: how many points have which score, in the colours that the points have, and where the threshold lies.

Layouts know no pictures but icons, and those are square; so it is a row of square tiles, each a part of the scores from 0 to 1. The gaps
between them are its grid lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy
import bpy.utils.previews
import numpy as np
import numpy.typing as npt

from ...core.heat import heat_colours

TILES = 4
SIZE = 64
"""Pixels of a tile."""
_FAINT = 0.28
"""Opacity of what is not meant."""

_previews: Any = None
_drawn: tuple[object, ...] | None = None


def histogram_pixels(counts: Sequence[int], threshold: float, text: Sequence[float] = (1, 1, 1)) -> npt.NDArray[np.float32]:
    """[SIZE, TILES * SIZE, 4] RGBA from the bottom row up: bars by the cube root, so that few among many show.

    text: the theme's colour of text, which the threshold has; it also says whether the theme is dark.
    """
    width = TILES * SIZE
    picture = np.zeros((SIZE, width, 4), np.float32)
    heights = np.cbrt(np.maximum(np.asarray(counts, float), 0)) if len(counts) else np.zeros(1)
    heights = heights / max(heights.max(), 1e-9)
    scores = (np.arange(width) + 0.5) / width
    bar = np.minimum((scores * len(heights)).astype(int), len(heights) - 1)
    top = np.ceil(heights[bar] * (SIZE - 8)).astype(int)
    rows = np.arange(SIZE)[:, None]
    colours = heat_colours((np.arange(len(heights))[bar] + 0.5) / len(heights)) / np.float32(255)
    dark_theme = sum(text[:3]) > 1.5
    shown = colours * 0.75 + 0.25 if dark_theme else colours * 0.8  # the darkest, or the brightest, would not show on the box
    filled = (rows < top) | (rows < 1)
    if width // len(heights) >= 3:
        filled &= ((np.arange(width) * len(heights) / width) % 1 < 1 - 1.0 / (width // len(heights))) | (rows < 1)
    picture[..., :3] = np.where(filled[..., None], shown, 0)
    picture[..., 3] = filled * np.where(scores >= threshold, 1.0, _FAINT)
    line = min(width - 2, max(0, round(threshold * width) - 1))
    picture[:, line : line + 2] = (*text[:3], 0.9)
    return picture


def draw_histogram(layout: bpy.types.UILayout, context: bpy.types.Context, counts: Sequence[int], threshold: float) -> None:
    """The histogram over the whole width of the panel."""
    if _previews is None:
        return
    _fill(counts, threshold, tuple(context.preferences.themes[0].user_interface.wcol_box.text[:3]))
    unit = 20 * context.preferences.system.ui_scale
    scale = max(1.5, (context.region.width - 2.2 * unit) / unit / TILES)
    row = layout.row(align=True)
    for tile in range(TILES):
        row.template_icon(_previews[f"tile {tile}"].icon_id, scale=scale)


def _fill(counts: Sequence[int], threshold: float, text: tuple[float, ...]) -> None:
    """Draw the tiles, if they show something else."""
    global _drawn
    key = (tuple(counts), round(threshold * TILES * SIZE), text)
    if key == _drawn:
        return
    picture = histogram_pixels(counts, threshold, text)
    for tile in range(TILES):
        preview = _previews.get(f"tile {tile}") or _previews.new(f"tile {tile}")
        part = picture[:, tile * SIZE : (tile + 1) * SIZE]
        preview.image_size = (SIZE, SIZE)
        preview.image_pixels_float.foreach_set(np.ascontiguousarray(part).ravel())
    _drawn = key


def register() -> None:
    global _previews
    _previews = bpy.utils.previews.new()


def unregister() -> None:
    global _previews, _drawn
    if _previews is not None:
        bpy.utils.previews.remove(_previews)
    _previews = _drawn = None
