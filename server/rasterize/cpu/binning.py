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
_LOG_ALPHA_LEAST = np.float32(math.log2(ALPHA_LEAST))
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
    """From which tile to which (exclusive) splat i touches a row of tiles."""
    reach, a = singles[i, LOG_OPACITY] - _LOG_ALPHA_LEAST + 1e-3, singles[i, A]
    fall, slope, turn, half = singles[i, K], records[i, SLOPE], np.float64(singles[i, TURN]), np.float64(singles[i, HALF_WIDTH])
    above, tall = row * TILE + 0.5 - records[i, Y], np.float64(singles[i, HALF_HEIGHT])
    low, high = max(above, -tall), min(above + (TILE - 1), tall)
    # The ellipse is widest at `turn`; a row that does not hold it is widest at its end nearest to it.
    right, left = half, -half
    dy = min(max(turn, low), high)
    if dy != turn:
        right = slope * dy + math.sqrt(max(reach - fall * dy * dy, 0.0) / a)
    dy = min(max(-turn, low), high)
    if dy != -turn:
        left = slope * dy - math.sqrt(max(reach - fall * dy * dy, 0.0) / a)
    room, end = _ROOM + 1e-6 * half, columns * TILE - 1.0
    first, last = records[i, X] - 0.5 + left - room, records[i, X] - 0.5 + right + room
    if not first <= last:  # NaN, of a splat larger than float32 has numbers for
        return 0, columns
    # In bounds before they are whole numbers: the conversion of what is too large for one gives anything.
    return np.int64(min(max(first, 0.0), end + 1)) >> TILE_BITS, (np.int64(min(max(last, -1.0), end)) >> TILE_BITS) + 1


@inner
def _look_ahead(order, k, end, flat_rects, flat_singles):
    """Ask for what a splat soon to come needs; they lie anywhere in memory."""
    if k + _AHEAD < end:
        i = np.int64(order[k + _AHEAD])
        prefetch(flat_rects, 4 * i)
        prefetch(flat_singles, 16 * i)


@kernel
def number(part, parts, order, count, singles):
    """Note in each splat's record its PLACE in the order of depth: order [count] int32."""
    words = singles.view(np.uint32)
    for k in range(count * part // parts, count * (part + 1) // parts):
        words[order[k], PLACE] = k


@kernel
def count_tiles(part, parts, order, count, records, singles, rects, columns, most, counts):
    """How many of this part of the sorted splats touch each tile: order [count] int32 -> counts [parts, tiles] int64.

    Counts no further once there are more than `most` altogether.
    """
    mine, flat_rects, flat_singles = counts[part], rects.reshape(-1), singles.reshape(-1)
    mine[:] = 0
    altogether = 0
    end = count * (part + 1) // parts
    for k in range(count * part // parts, end):
        _look_ahead(order, k, end, flat_rects, flat_singles)
        i = order[k]
        left, right, top, bottom = rects[i, 0], rects[i, 1], rects[i, 2], rects[i, 3]
        exact = (right - left) * (bottom - top) > 4 and right - left > 1 and bottom - top > 1
        for row in range(top, bottom):
            if exact:
                left, right = tiles_of_row(records, singles, i, row, columns)
            for column in range(left, right):
                mine[row * columns + column] += 1
            altogether += max(right - left, 0)
        if altogether > most:
            break


@kernel
def fill_tiles(part, parts, order, count, records, singles, rects, columns, starts, ids):
    """Write this part of the sorted splats into the lists of their tiles; starts [parts, tiles] int64 is used up."""
    mine, flat_rects, flat_singles = starts[part], rects.reshape(-1), singles.reshape(-1)
    end = count * (part + 1) // parts
    for k in range(count * part // parts, end):
        _look_ahead(order, k, end, flat_rects, flat_singles)
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
