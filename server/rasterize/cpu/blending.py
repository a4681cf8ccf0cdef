# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures: features, depth and alpha blended tile by tile; the splats that show most in a pixel."""

from __future__ import annotations

import numpy as np

from .compiling import inner, kernel
from .projection import DEPTH, TILE
from .tiles import BATCH, CHUNKS, nothing, scratch_of, walk
from .vectors import LANES, all_of, bits, load, most, prefetch, select, store, take_ticket, trailing_zeros

GROUP = 4
"""Channels that are summed together."""
_ZERO, _ONE, _TINY = np.float32(0), np.float32(1), np.float32(1e-30)


@inner
def _fetch(state, first, count):
    """Lay out the features of a batch, the depth after them, then zeros up to a whole group."""
    features, singles, ids, local, sums, padded = state
    channels = features.shape[1]
    flat = features.reshape(-1)
    for k in range(first + count, min(first + count + BATCH, len(ids))):
        prefetch(flat, channels * np.int64(ids[k]))
    for j in range(count):
        i = np.int64(ids[first + j])
        place = j * padded
        for c in range(channels):
            local[place + c] = features[i, c]
        local[place + channels] = singles[i, DEPTH]


@inner
def _add(state, row, chunk, count, chosen, weights):
    """Add weights times features to the sums [chunk, channel, lane]: a small matrix product, eight channels in registers, or four."""
    features, singles, ids, local, sums, padded = state
    for group in range(0, padded - GROUP, 2 * GROUP):
        place = (chunk * padded + group) * LANES
        a, b, c, d = _load4(sums, place)
        e, f, g, h = _load4(sums, place + GROUP * LANES)
        for k in range(count):
            w = load(weights, k * LANES)
            feature = chosen[k] * padded + group
            a, b, c, d = _add4(a, b, c, d, w, local, feature)
            e, f, g, h = _add4(e, f, g, h, w, local, feature + GROUP)
        _store4(sums, place, a, b, c, d)
        _store4(sums, place + GROUP * LANES, e, f, g, h)
    if padded % (2 * GROUP):
        group = padded - GROUP
        place = (chunk * padded + group) * LANES
        a, b, c, d = _load4(sums, place)
        for k in range(count):
            a, b, c, d = _add4(a, b, c, d, load(weights, k * LANES), local, chosen[k] * padded + group)
        _store4(sums, place, a, b, c, d)


@inner
def _load4(sums, place):
    return load(sums, place), load(sums, place + LANES), load(sums, place + 2 * LANES), load(sums, place + 3 * LANES)


@inner
def _add4(a, b, c, d, w, local, feature):
    return a + w * local[feature], b + w * local[feature + 1], c + w * local[feature + 2], d + w * local[feature + 3]


@inner
def _store4(sums, place, a, b, c, d):
    store(sums, place, a)
    store(sums, place + LANES, b)
    store(sums, place + 2 * LANES, c)
    store(sums, place + 3 * LANES, d)


@kernel
def blend(part, parts, tickets, splats, features, background, out, depth, alpha, remaining):
    """Blend the tiles, heaviest first, each by the thread that comes for it.

    features [N, C], background [C] float32 -> out [H, W, C], depth [H, W], alpha [H, W] float32, as in contract.RenderOutput,
    and remaining [H, W] float32, the transmittance at the end: 1 - alpha, without that difference's loss of digits.
    """
    records, singles, starts, ids, order, columns = splats
    height, width, channels = out.shape
    padded = (channels + GROUP) // GROUP * GROUP
    scratch = scratch_of(None)
    _, _, transmittance, covered, _, _, _ = scratch
    local, sums = np.zeros(BATCH * padded, np.float32), np.empty(TILE * TILE * padded, np.float32)
    state = (features, singles, ids, local, sums, padded)
    features_out, depth_out, alpha_out, remaining_out = (
        out.reshape(-1),
        depth.reshape(-1),
        alpha.reshape(-1),
        remaining.reshape(-1),
    )
    while True:
        ticket = take_ticket(tickets, part, parts)
        if ticket >= len(order):
            break
        tile = order[ticket]
        x0, y0 = tile % columns * TILE, tile // columns * TILE
        sums[:] = 0
        walk(splats, tile, width, height, scratch, _fetch, _add, nothing, state)
        for row in range(min(TILE, height - y0)):
            for place in range(CHUNKS):
                chunk = row * CHUNKS + place
                left = load(transmittance, chunk * LANES)
                left = most(left, all_of(_ZERO) - left)
                for c in range(channels):
                    at = (chunk * padded + c) * LANES
                    store(sums, at, load(sums, at) + left * background[c])
                at = (chunk * padded + channels) * LANES
                store(sums, at, load(sums, at) / most(load(covered, chunk * LANES), all_of(_TINY)))
                lanes = min(LANES, width - x0 - place * LANES)
                first = (y0 + row) * width + x0 + place * LANES
                for lane in range(lanes):
                    alpha_out[first + lane] = covered[chunk * LANES + lane]
                    depth_out[first + lane] = sums[at + lane]
                    remaining_out[first + lane] = abs(transmittance[chunk * LANES + lane])
                for c in range(channels):
                    for lane in range(lanes):
                        features_out[(first + lane) * channels + c] = sums[(chunk * padded + c) * LANES + lane]


@inner
def _keep(state, row, chunk, count, chosen, weights):
    """Put a splat among the k of each pixel where it is heavier than the last of them; they are sorted."""
    k, ids, best, kept_ids, kept_weights, first_of_batch, transmittance = state
    first = first_of_batch[0]
    for place in range(count):
        heavier = bits(load(weights, place * LANES) > load(best, chunk * LANES))
        while heavier != 0:
            lane = trailing_zeros(heavier)
            heavier &= heavier - 1
            w = weights[place * LANES + lane]
            pixel = chunk * LANES + lane
            base = pixel * k
            slot = k - 1
            while slot > 0 and kept_weights[base + slot - 1] < w:
                kept_weights[base + slot], kept_ids[base + slot] = kept_weights[base + slot - 1], kept_ids[base + slot - 1]
                slot -= 1
            kept_weights[base + slot], kept_ids[base + slot] = w, ids[first + chosen[place]]
            best[pixel] = kept_weights[base + k - 1]
    # No splat is heavier than what is left of the light: where that is too little, the pixel has stopped.
    t = load(transmittance, chunk * LANES)
    store(transmittance, chunk * LANES, select(t > load(best, chunk * LANES), t, all_of(-_ONE)))


@inner
def _remember_first(state, first, count):
    state[5][0] = first


@kernel
def heaviest(part, parts, tickets, splats, out_ids, out_weights):
    """out_ids [H, W, K] int32, out_weights [H, W, K] float32, as in contract.TopK."""
    records, singles, starts, ids, order, columns = splats
    height, width, k = out_ids.shape
    scratch = scratch_of(None)
    best, first_of_batch = np.empty(TILE * TILE, np.float32), np.zeros(1, np.int64)
    kept_ids, kept_weights = np.empty(TILE * TILE * k, np.int32), np.empty(TILE * TILE * k, np.float32)
    _, _, transmittance, _, _, _, _ = scratch
    state = (k, ids, best, kept_ids, kept_weights, first_of_batch, transmittance)
    while True:
        ticket = take_ticket(tickets, part, parts)
        if ticket >= len(order):
            break
        tile = order[ticket]
        x0, y0 = tile % columns * TILE, tile // columns * TILE
        best[:] = 0
        kept_ids[:] = -1
        kept_weights[:] = 0
        walk(splats, tile, width, height, scratch, _remember_first, _keep, nothing, state)
        for row in range(min(TILE, height - y0)):
            for column in range(min(TILE, width - x0)):
                base = (row * TILE + column) * k
                for slot in range(k):
                    out_ids[y0 + row, x0 + column, slot] = kept_ids[base + slot]
                    out_weights[y0 + row, x0 + column, slot] = kept_weights[base + slot]
