# SPDX-License-Identifier: GPL-3.0-or-later
"""Splats sorted by depth and put into the tiles that they touch.

One radix sort of the visible Gaussians, then a stable counting sort into tiles: every tile's list comes out in order of depth, and
equal depths in the Gaussians' order, whatever the number of threads. Counting and filling both ask of every splat which tiles its
ellipse touches: a needle across the picture is in few tiles of its box.
"""

from __future__ import annotations

import math

import numpy as np

from ..contract import ALPHA_LEAST
from .compiling import inner, kernel
from .projection import HALF_HEIGHT, HALF_WIDTH, LOG_OPACITY, PLACE, SLOPE, TILE, TILE_BITS, TURN, A, K, X, Y
from .vectors import prefetch

DIGIT_BITS = 11
DIGITS = 1 << DIGIT_BITS
_AHEAD = 16
_LOG_ALPHA_LEAST, _ZERO = np.float32(math.log2(ALPHA_LEAST)), np.float32(0)
_ROOM = 0.02
"""Pixels."""


@kernel
def count_digits(part, parts, keys, spans, least, shift, counts):
    """How often each digit occurs in this part: keys [N] uint32 from spans[part, 0] to spans[part, 1] - 1 -> counts [parts, DIGITS] int64."""
    mine = counts[part]
    mine[:] = 0
    for k in range(spans[part, 0], spans[part, 1]):
        mine[((keys[k] - least) >> shift) & np.uint32(DIGITS - 1)] += 1


@kernel
def scatter_digits(part, parts, keys, chosen, spans, least, shift, starts, keys_out, chosen_out):
    """Move this part's keys and Gaussians to where their digit begins, in order; starts [parts, DIGITS] int64 is used up."""
    mine = starts[part]
    for k in range(spans[part, 0], spans[part, 1]):
        digit = ((keys[k] - least) >> shift) & np.uint32(DIGITS - 1)
        place = mine[digit]
        mine[digit] = place + 1
        keys_out[place], chosen_out[place] = keys[k], chosen[k]


@inner
def tiles_of_row(records, singles, i, row, columns):
    """From which tile to which (exclusive) splat i touches a row of tiles; float32 serves, with a little room."""
    reach, inverse = singles[i, LOG_OPACITY] - _LOG_ALPHA_LEAST + np.float32(1e-3), np.float32(1) / singles[i, A]
    fall, slope, turn, half = singles[i, K], np.float32(records[i, SLOPE]), singles[i, TURN], singles[i, HALF_WIDTH]
    above = np.float32(row * TILE + 0.5 - records[i, Y])
    low, high = max(above, -singles[i, HALF_HEIGHT]), min(above + np.float32(TILE - 1), singles[i, HALF_HEIGHT])
    # The ellipse is widest at `turn`; a row that does not hold it is widest at its end nearest to it.
    right, left = half, -half
    dy = min(max(turn, low), high)
    if dy != turn:
        right = slope * dy + math.sqrt(max(reach - fall * dy * dy, _ZERO) * inverse)
    dy = min(max(-turn, low), high)
    if dy != -turn:
        left = slope * dy - math.sqrt(max(reach - fall * dy * dy, _ZERO) * inverse)
    x = records[i, X] - 0.5
    first = np.int64(max(x + left - _ROOM, 0.0)) >> TILE_BITS
    last = np.int64(max(min(x + right + _ROOM, columns * TILE - 1.0), -1.0)) >> TILE_BITS
    return first, last + 1


@kernel
def count_tiles(part, parts, order, count, records, singles, rects, columns, counts):
    """How many of this part of the sorted splats touch each tile: order [count] int32 -> counts [parts, tiles] int64.

    Notes in each splat's record its PLACE in this order.
    """
    mine, words = counts[part], singles.view(np.uint32)
    mine[:] = 0
    flat, flat_singles = rects.reshape(-1), singles.reshape(-1)
    end = count * (part + 1) // parts
    for k in range(count * part // parts, end):
        if k + _AHEAD < end:
            prefetch(flat, 4 * np.int64(order[k + _AHEAD]))
            prefetch(flat_singles, 16 * np.int64(order[k + _AHEAD]))
        i = order[k]
        words[i, PLACE] = k
        left, right, top, bottom = rects[i, 0], rects[i, 1], rects[i, 2], rects[i, 3]
        exact = (right - left) * (bottom - top) > 4 and right - left > 1 and bottom - top > 1
        for row in range(top, bottom):
            if exact:
                left, right = tiles_of_row(records, singles, i, row, columns)
            for column in range(left, right):
                mine[row * columns + column] += 1


@kernel
def fill_tiles(part, parts, order, count, records, singles, rects, columns, starts, ids):
    """Write this part of the sorted splats into the lists of their tiles; starts [parts, tiles] int64 is used up."""
    mine = starts[part]
    flat, flat_singles = rects.reshape(-1), singles.reshape(-1)
    end = count * (part + 1) // parts
    for k in range(count * part // parts, end):
        if k + _AHEAD < end:
            prefetch(flat, 4 * np.int64(order[k + _AHEAD]))
            prefetch(flat_singles, 16 * np.int64(order[k + _AHEAD]))
        i = order[k]
        left, right, top, bottom = rects[i, 0], rects[i, 1], rects[i, 2], rects[i, 3]
        exact = (right - left) * (bottom - top) > 4 and right - left > 1 and bottom - top > 1
        for row in range(top, bottom):
            if exact:
                left, right = tiles_of_row(records, singles, i, row, columns)
            for column in range(left, right):
                tile = row * columns + column
                place = mine[tile]
                mine[tile] = place + 1
                ids[place] = i


@kernel
def begin_lists(counts, starts):
    """counts [parts, lists] int64 -> in place: where each part begins in each list, the lists one after the other; starts [lists + 1] int64."""
    place = 0
    for item in range(counts.shape[1]):
        starts[item] = place
        for part in range(counts.shape[0]):
            many = counts[part, item]
            counts[part, item] = place
            place += many
    starts[counts.shape[1]] = place
