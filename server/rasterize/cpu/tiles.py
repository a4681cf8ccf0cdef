# SPDX-License-Identifier: GPL-3.0-or-later
"""The walk over one tile, front to back, which all questions to a frame share.

A tile is 16x16 pixels; a row of it is one or two vectors of pixels, its "chunks". The walk takes a tile's splats in batches of 64. A
batch is laid out by columns in a small buffer, and each chunk gets a word of 64 bits, one for each splat that may show there. Chunk
by chunk the weights w = T * alpha of these splats come out, with the transmittances T in a register and no branch that cannot be
foreseen, and go to `consume`; what is done with them is the affair of the walk's users, whose functions are compiled into it.

T is kept with a sign: a pixel that has stopped, or lies outside of the picture, has its last T negative.
"""

from __future__ import annotations

import math

import numpy as np

from ..contract import ALPHA_LEAST, ALPHA_MOST, TRANSMITTANCE_LEAST
from .compiling import inner
from .projection import LOG_OPACITY, SLOPE, TILE, A, K, X, Y
from .vectors import LANES, all_of, bits, counting, exp2_over_255, least, load, most, prefetch, select, store, trailing_zeros

CHUNKS = TILE // LANES
"""Vectors in a row of a tile."""
BATCH = 64
"""Splats taken at a time."""
MIDDLE, LEAN, NARROW, FALL, DOWN, BRIGHT, CENTRE, HEIGHT = (BATCH * column for column in range(8))
"""Columns of a batch: x of the centre line in the tile's middle row, its slope, A, k, y of the centre, log2(255 opacity); in the
present row: x of the centre line, and log2(255 alpha) on it. x and y are relative to the centre of the tile's first pixel."""

_LOG_ALPHA_LEAST = np.float32(math.log2(ALPHA_LEAST))
LOG_ALPHA_MOST = np.float32(math.log2(ALPHA_MOST / ALPHA_LEAST))
_T_LEAST, _ZERO, _ONE = np.float32(TRANSMITTANCE_LEAST), np.float32(0), np.float32(1)
_HALF_TILE = 0.5 * TILE
_SLACK = np.float32(1e-3)
"""Added where it is decided which splats may show in a chunk, in units of log2; what they show is decided by their alpha."""
assert 1 / ALPHA_LEAST == 255  # exp2_over_255


@inner
def stage(records, singles, ids, start, count, x0, y0, batch):
    """Lay out splats ids[start : start + count]; the batch's other places get splats that never show."""
    for j in range(count):
        i = np.int64(ids[start + j])
        slope, y = records[i, SLOPE], records[i, Y] - 0.5 - y0
        # From a far centre float32 would lose the thousandths of a pixel that a needle needs; from the tile's middle row it does not.
        batch[MIDDLE + j], batch[LEAN + j] = records[i, X] - 0.5 - x0 + slope * (_HALF_TILE - y), slope
        batch[NARROW + j], batch[FALL + j] = singles[i, A], singles[i, K]
        batch[DOWN + j], batch[BRIGHT + j] = y, singles[i, LOG_OPACITY] - _LOG_ALPHA_LEAST
    for j in range(count, BATCH):
        batch[FALL + j], batch[BRIGHT + j] = _ZERO, -_ONE


@inner
def begin_row(batch, row, shows):
    """Centre lines and heights of the whole batch in one row of pixels, and in shows [CHUNKS] int64 the splats that each chunk may show.

    A splat may show if it is bright enough at the point of the chunk that is nearest to its centre line.
    """
    for place in range(CHUNKS):
        shows[place] = 0
    for j in range(0, BATCH, LANES):
        dy = all_of(np.float32(row)) - load(batch, DOWN + j)
        centre = load(batch, MIDDLE + j) + load(batch, LEAN + j) * np.float32(row - _HALF_TILE)
        height = load(batch, BRIGHT + j) - load(batch, FALL + j) * dy * dy
        store(batch, CENTRE + j, centre)
        store(batch, HEIGHT + j, height)
        narrow = load(batch, NARROW + j)
        for place in range(CHUNKS):
            first = np.float32(place * LANES)
            away = most(most(first - centre, centre - (first + np.float32(LANES - 1))), all_of(_ZERO))
            shows[place] |= bits(height + _SLACK > away * away * narrow) << j


@inner
def weigh(batch, chunk, waiting, transmittance, covered, chosen, weights, alphas):
    """Weights of the splats whose bits are set in `waiting`, in one chunk, front to back.

    Gives how many were looked at before all pixels stopped: their places in the batch go to chosen [BATCH], their weights to weights
    [BATCH * LANES], and if alphas is not None, their alphas there, negative where they are held at the most. T goes on in transmittance
    [TILE * TILE], and the weights are added to covered [TILE * TILE].
    """
    t, sum_of_weights = load(transmittance, chunk * LANES), load(covered, chunk * LANES)
    alive = t > _ZERO
    pixels = counting() + np.float32(chunk % CHUNKS * LANES)
    zero = all_of(_ZERO)
    count = 0
    while waiting != 0:
        j = trailing_zeros(waiting)
        waiting &= waiting - 1
        d = pixels - batch[CENTRE + j]
        power = all_of(batch[HEIGHT + j]) - d * d * batch[NARROW + j]
        alpha = select(power >= zero, exp2_over_255(least(power, all_of(LOG_ALPHA_MOST))), zero)
        w = t * alpha
        after = t - w
        alive = alive & (after > _T_LEAST)
        w = select(alive, w, zero)
        t = select(alive, after, t)
        sum_of_weights = sum_of_weights + w
        store(weights, count * LANES, w)
        if alphas is not None:
            store(alphas, count * LANES, select(all_of(LOG_ALPHA_MOST) > power, alpha, zero - alpha))
        chosen[count] = j
        count += 1
        if bits(alive) == 0:
            break
    store(transmittance, chunk * LANES, select(alive, t, least(t, zero - t)))
    store(covered, chunk * LANES, sum_of_weights)
    return count


@inner
def scratch_of(alphas):
    """What `walk` works in; the caller keeps it from tile to tile."""
    transmittance, covered = np.empty(TILE * TILE, np.float32), np.empty(TILE * TILE, np.float32)
    batch, shows = np.zeros(8 * BATCH, np.float32), np.empty(CHUNKS, np.int64)
    chosen, weights = np.empty(BATCH, np.int64), np.empty(BATCH * LANES, np.float32)
    return batch, shows, transmittance, covered, chosen, weights, alphas


@inner
def nothing(state, first, count):
    """For walks that need no `begin` or no `end`."""


@inner
def walk(splats, tile, width, height, scratch, begin, consume, end, state):
    """Take a tile's splats through its pixels, front to back.

    splats: (records, singles, starts, ids, order, columns) of a frame. For each batch: begin(state, first, count), where
    ids[first : first + count] are its splats; then for each chunk in which some show consume(state, row, chunk, count, chosen, weights), see
    `weigh`; then end(state, first, count). Afterwards scratch holds the transmittances and the sums of weights, pixel by pixel.
    """
    records, singles, starts, ids, order, columns = splats
    batch, shows, transmittance, covered, chosen, weights, alphas = scratch
    x0, y0 = tile % columns * TILE, tile // columns * TILE
    rows = min(TILE, height - y0)
    for pixel in range(TILE * TILE):
        inside = pixel // TILE < rows and x0 + pixel % TILE < width
        transmittance[pixel] = _ONE if inside else -_ONE
        covered[pixel] = _ZERO
    flat = singles.reshape(-1)
    start, stop = starts[tile], starts[tile + 1]
    for first in range(start, stop, BATCH):
        count = min(BATCH, stop - first)
        for k in range(first + count, min(first + 2 * BATCH, stop)):
            prefetch(flat, 16 * np.int64(ids[k]))  # they lie anywhere in memory, and this batch takes a while
        stage(records, singles, ids, first, count, x0, y0, batch)
        begin(state, first, count)
        alive = False
        for row in range(rows):
            begin_row(batch, row, shows)
            for place in range(CHUNKS):
                chunk = row * CHUNKS + place
                if bits(load(transmittance, chunk * LANES) > _ZERO) == 0:
                    continue
                alive = True
                if shows[place] != 0:
                    shown = weigh(batch, chunk, shows[place], transmittance, covered, chosen, weights, alphas)
                    consume(state, row, chunk, shown, chosen, weights)
        end(state, first, count)
        if not alive:
            break
