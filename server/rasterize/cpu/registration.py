# SPDX-License-Identifier: GPL-3.0-or-later
"""From pixels back to Gaussians: what each of them shows of an image, and of which ids; and which id shows most in a pixel."""

from __future__ import annotations

import numpy as np

from .compiling import inner, kernel
from .projection import PLACE, TILE
from .tiles import BATCH, CHUNKS, nothing, scratch_of, walk
from .vectors import LANES, load, store, take_ticket, total

WINDOW = 64
"""Ids whose shares of a tile are summed at once, for `dominant`."""
_ZERO = np.float32(0)


@inner
def _clear_sums(state, first, count):
    sums, stride = state[0], state[1]
    for place in range(count * stride):
        sums[place] = _ZERO


@inner
def add_pixels(sums, stride, image, chunk, count, chosen, weights):
    """sums[splat, channel] += weight * image[pixel, channel]: lanes are channels here, so that nothing is left to add up."""
    for k in range(count):
        place = chosen[k] * stride
        for group in range(0, stride, LANES):
            a, b = load(sums, place + group), load(image, chunk * LANES * stride + group) * weights[k * LANES]
            for lane in range(1, LANES):
                pixel = load(image, (chunk * LANES + lane) * stride + group)
                if lane % 2:
                    a = a + pixel * weights[k * LANES + lane]
                else:
                    b = b + pixel * weights[k * LANES + lane]
            store(sums, place + group, a + b)


@inner
def _add_image(state, row, chunk, count, chosen, weights):
    sums, stride, image = state[0], state[1], state[2]
    add_pixels(sums, stride, image, chunk, count, chosen, weights)


@inner
def _pass_on(state, first, count):
    """Add a batch's sums to what this thread has of its Gaussians."""
    sums, stride, image, ids, places, mine = state
    for j in range(count):
        row = mine[np.int64(places[ids[first + j], PLACE])]
        for c in range(len(row)):
            row[c] += sums[j * stride + c]


@kernel
def register(part, parts, tickets, splats, image, sums):
    """image [H, W, C] float32 -> added to sums [parts, visible, C + 1] float32, a Gaussian's row being its PLACE; the last column is Σw."""
    records, singles, starts, ids, order, columns = splats
    height, width, channels = image.shape
    stride = (channels + LANES) // LANES * LANES
    local, tile_image = np.empty(BATCH * stride, np.float32), np.zeros(TILE * TILE * stride, np.float32)
    scratch = scratch_of(None)
    state = (local, stride, tile_image, ids, singles.view(np.uint32), sums[part])
    while True:
        ticket = take_ticket(tickets, part, parts)
        if ticket >= len(order):
            break
        tile = order[ticket]
        x0, y0 = tile % columns * TILE, tile // columns * TILE
        for row in range(min(TILE, height - y0)):
            for column in range(min(TILE, width - x0)):
                place = (row * TILE + column) * stride
                for c in range(channels):
                    tile_image[place + c] = image[y0 + row, x0 + column, c]
                tile_image[place + channels] = 1
        walk(splats, tile, width, height, scratch, _clear_sums, _add_image, _pass_on, state)


@kernel
def gather_sums(part, parts, chosen, spans, singles, sums, column, out, weights):
    """Add what the threads have: sums [threads, visible, C + 1] -> out [N, ...] float32 from `column` on, and Σw weights [N] float32.

    chosen [N] int32, spans [threads, 2]: the visible Gaussians as `project` left them; the others' rows are let be.
    """
    threads, count, channels = sums.shape
    places = singles.view(np.uint32)
    for span in range(len(spans)):
        first, end = spans[span, 0], spans[span, 1]
        many = end - first
        for place in range(first + many * part // parts, first + many * (part + 1) // parts):
            i = chosen[place]
            of_it = np.int64(places[i, PLACE])
            for c in range(channels):
                value = sums[0, of_it, c]
                for thread in range(1, threads):
                    value += sums[thread, of_it, c]
                if c < channels - 1:
                    out[i, column + c] = value
                else:
                    weights[i] = value


@inner
def _add_ids(state, row, chunk, count, chosen, weights):
    """sums[splat, id's number in the tile] += weights; most chunks show one id."""
    sums, stride, numbers, uniform = state[0], state[1], state[2], state[3]
    if uniform[chunk]:
        number = numbers[chunk * LANES]
        for k in range(count):
            sums[chosen[k] * stride + number] += total(load(weights, k * LANES))
    else:
        for k in range(count):
            place = chosen[k] * stride
            for lane in range(LANES):
                sums[place + numbers[chunk * LANES + lane]] += weights[k * LANES + lane]


@inner
def _write_entries(state, first, count):
    """Write the batch's sums that are not 0 as entries (Gaussian, id, weight)."""
    sums, stride, numbers, uniform, ids, known, entries, weights_out, filled = state
    place = filled[0]
    for j in range(count):
        for number in range(1, stride):
            weight = sums[j * stride + number]
            if weight > 0:
                if place < len(weights_out):
                    entries[place, 0], entries[place, 1] = ids[first + j], known[number]
                    weights_out[place] = weight
                place += 1
    filled[0] = place


@kernel
def register_ids(part, parts, tickets, splats, image, entries, weights, filled):
    """Ids [H, W] int32 >= 0 -> entries [parts, M, 2] int32 (Gaussian, id) and weights [parts, M] float32; id 0 is left out.

    filled [parts, 1] int64: how many entries there are; where that is more than M, only M were written.
    """
    records, singles, starts, ids, order, columns = splats
    height, width = image.shape
    numbers, uniform = np.zeros(TILE * TILE, np.int64), np.empty(TILE * CHUNKS, np.bool_)
    known = np.zeros(TILE * TILE + 1, np.int32)  # the tile's ids; number 0 is id 0, nothing
    local = np.empty(BATCH * (TILE * TILE + 1), np.float32)
    scratch = scratch_of(None)
    while True:
        ticket = take_ticket(tickets, part, parts)
        if ticket >= len(order):
            break
        tile = order[ticket]
        x0, y0 = tile % columns * TILE, tile // columns * TILE
        stride, number = 1, 0
        for row in range(TILE):
            for column in range(TILE):
                wanted = image[y0 + row, x0 + column] if y0 + row < height and x0 + column < width else known[number]
                if wanted != known[number]:
                    number = 0
                    while number < stride and known[number] != wanted:
                        number += 1
                    if number == stride:
                        known[stride] = wanted
                        stride += 1
                numbers[row * TILE + column] = number
        for chunk in range(TILE * CHUNKS):
            uniform[chunk] = True
            for lane in range(1, LANES):
                uniform[chunk] &= numbers[chunk * LANES + lane] == numbers[chunk * LANES]
        state = (local, stride, numbers, uniform, ids, known, entries[part], weights[part], filled[part])
        walk(splats, tile, width, height, scratch, _clear_sums, _add_ids, _write_entries, state)


@kernel
def merge_entries(part, parts, count, entries, weights, filled):
    """The entries of this part of the `count` Gaussians, sorted and summed: Gaussians, ids [M] int32 and weights [M] float32."""
    first, end = count * part // parts, count * (part + 1) // parts
    starts = np.zeros(end - first + 1, np.int64)
    for thread in range(len(filled)):
        for k in range(filled[thread, 0]):
            i = entries[thread, k, 0]
            if first <= i < end:
                starts[i - first + 1] += 1
    for i in range(end - first):
        starts[i + 1] += starts[i]
    ids, sums, place_of = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.float32), starts[:-1].copy()
    for thread in range(len(filled)):
        for k in range(filled[thread, 0]):
            i = entries[thread, k, 0]
            if first <= i < end:
                place = place_of[i - first]
                place_of[i - first] = place + 1
                ids[place], sums[place] = entries[thread, k, 1], weights[thread, k]
    # A Gaussian has few entries, one or two for each tile it touches: they are sorted where they are, into the places already done with.
    gaussians, many = np.empty(starts[-1], np.int32), 0
    for i in range(end - first):
        begin = many
        for k in range(starts[i], starts[i + 1]):
            number, weight, slot = ids[k], sums[k], many
            while slot > begin and ids[slot - 1] > number:
                slot -= 1
            if slot > begin and ids[slot - 1] == number:
                sums[slot - 1] += weight
                continue
            for later in range(many, slot, -1):
                ids[later], sums[later] = ids[later - 1], sums[later - 1]
            ids[slot], sums[slot], gaussians[many] = number, weight, first + i
            many += 1
    return gaussians[:many].copy(), ids[:many].copy(), sums[:many].copy()


@inner
def _number_ids(state, first, count):
    """Give each id that comes up in the tile a number, the first 0."""
    ids, places, number_of, known, many, numbers, low, sums = state
    for j in range(count):
        place = places[ids[first + j]]
        if number_of[place] < 0:
            number_of[place] = many[0]
            known[many[0]] = place
            many[0] += 1
        numbers[j] = number_of[place]


@inner
def _add_shares(state, row, chunk, count, chosen, weights):
    ids, places, number_of, known, many, numbers, low, sums = state
    for k in range(count):
        number = numbers[chosen[k]] - low
        if 0 <= number < WINDOW:
            place = (number * TILE * CHUNKS + chunk) * LANES
            store(sums, place, load(sums, place) + load(weights, k * LANES))


@kernel
def dominant(part, parts, tickets, splats, places, many_ids, out, share):
    """Ids' places [N] int32 in their sorted list of many_ids -> out [H, W] int32 the place that shows most, -1 for none, and its share.

    Sums are kept for WINDOW ids of a tile at once; a tile with more is walked again.
    """
    records, singles, starts, ids, order, columns = splats
    height, width = out.shape
    number_of, known = np.full(many_ids, -1, np.int32), np.empty(many_ids, np.int32)
    many, numbers = np.zeros(1, np.int64), np.empty(BATCH, np.int64)
    sums = np.empty(WINDOW * TILE * TILE, np.float32)
    scratch = scratch_of(None)
    while True:
        ticket = take_ticket(tickets, part, parts)
        if ticket >= len(order):
            break
        tile = order[ticket]
        x0, y0 = tile % columns * TILE, tile // columns * TILE
        low = 0
        many[0] = 0
        while low == 0 or low < many[0]:
            window = WINDOW if low else min(WINDOW, many_ids)
            sums[: window * TILE * TILE] = 0
            state = (ids, places, number_of, known, many, numbers, low, sums)
            walk(splats, tile, width, height, scratch, _number_ids, _add_shares, nothing, state)
            for row in range(min(TILE, height - y0)):
                for column in range(min(TILE, width - x0)):
                    best, best_share = np.int32(-1), _ZERO
                    if low:
                        best, best_share = out[y0 + row, x0 + column], share[y0 + row, x0 + column]
                    for number in range(min(WINDOW, many[0] - low)):
                        value = sums[(number * TILE + row) * TILE + column]
                        place = known[low + number]
                        if value > best_share or (value == best_share and value > 0 and place < best):
                            best, best_share = place, value
                    out[y0 + row, x0 + column], share[y0 + row, x0 + column] = best, best_share
            low += WINDOW
        for number in range(many[0]):
            number_of[known[number]] = -1
