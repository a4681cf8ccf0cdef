# SPDX-License-Identifier: GPL-3.0-or-later
"""The blending's derivative, front to back: from a picture's gradient to the splats'.

With w_i = T_i alpha_i and g_i = sum of the picture's gradient times the splat's features, the loss changes with alpha_i by
T_i g_i - S_i / (1 - alpha_i), where S_i = sum of w_j g_j over the splats behind i. S needs no list: behind a batch it is the pixel's whole
sum, which the forward picture gives, less what has been passed; inside a batch it is added up from the back. Where a pixel stops S is
0, and not what rounding left of the difference: 1 / (1 - alpha) would make a thousand times as much of that.

A splat's exponent p changes the loss by SHAPE sums over its pixels: of q, q d, q d^2, q dy, q d dy, q dy^2, where q = dL/dp, d is the offset
from its centre line, dy from its centre. The sums for its features follow, then that for its depth.
"""

from __future__ import annotations

import math

import numpy as np

from .compiling import inner, kernel
from .projection import DEPTH, PLACE, SHAPE, TILE
from .registration import add_pixels
from .tiles import BATCH, CENTRE, CHUNKS, DOWN, scratch_of, walk
from .vectors import LANES, all_of, counting, load, prefetch, select, store, take_ticket, total

_LN_2 = np.float32(math.log(2))


@inner
def _begin(state, first, count):
    features, singles, ids, mine, local, images, sums, stride, scratch = state
    shape_sums, feature_sums, _, _, _, last = sums
    last[0] = first + count == last[1]
    channels = features.shape[1]
    flat = features.reshape(-1)
    for k in range(first + count, min(first + count + BATCH, len(ids))):
        prefetch(flat, channels * np.int64(ids[k]))
    for j in range(count):
        i = np.int64(ids[first + j])
        place = j * (channels + 2)
        for c in range(channels):
            local[place + c] = features[i, c]
        local[place + channels], local[place + channels + 1] = singles[i, DEPTH], 1
    for place in range(count * SHAPE * LANES):
        shape_sums[place] = 0
    for place in range(count * stride):
        feature_sums[place] = 0


@inner
def _add(state, row, chunk, count, chosen, weights):
    features, singles, ids, mine, local, images, sums, stride, scratch = state
    batch, _, transmittance, _, _, _, alphas = scratch
    shape_sums, feature_sums, behind, channels, products, last = sums
    by_channel, by_pixel = images
    pixels = counting() + np.float32(chunk % CHUNKS * LANES)
    zero, one = all_of(np.float32(0)), all_of(np.float32(1))
    here = zero
    for k in range(count):
        gradient = zero
        for c in range(channels):
            gradient = gradient + load(by_channel, (chunk * channels + c) * LANES) * local[chosen[k] * channels + c]
        product = load(weights, k * LANES) * gradient
        store(products, k * LANES, product)
        here = here + product
    s = zero
    if not last[0]:
        s = select(load(transmittance, chunk * LANES) > zero, load(behind, chunk * LANES) - here, zero)
    store(behind, chunk * LANES, s)
    for k in range(count - 1, -1, -1):
        j = chosen[k]
        w, alpha, product = load(weights, k * LANES), load(alphas, k * LANES), load(products, k * LANES)
        # Where alpha is held at the most, or the splat does not show, nothing changes with p.
        q = select(alpha > zero, product - s * alpha / (one - alpha), zero)
        q = select(w > zero, q, zero)
        s = s + product
        d = pixels - batch[CENTRE + j]
        dy = np.float32(row) - batch[DOWN + j]
        place = j * SHAPE * LANES
        qd = q * d
        qdy = q * dy
        store(shape_sums, place, load(shape_sums, place) + q)
        store(shape_sums, place + LANES, load(shape_sums, place + LANES) + qd)
        store(shape_sums, place + 2 * LANES, load(shape_sums, place + 2 * LANES) + qd * d)
        store(shape_sums, place + 3 * LANES, load(shape_sums, place + 3 * LANES) + qdy)
        store(shape_sums, place + 4 * LANES, load(shape_sums, place + 4 * LANES) + qdy * d)
        store(shape_sums, place + 5 * LANES, load(shape_sums, place + 5 * LANES) + qdy * dy)
    add_pixels(feature_sums, stride, by_pixel, chunk, count, chosen, weights)


@inner
def _pass_on(state, first, count):
    features, singles, ids, mine, local, images, sums, stride, scratch = state
    shape_sums, feature_sums, _, _, _, _ = sums
    places = singles.view(np.uint32)
    wanted = features.shape[1] + 1
    for j in range(count):
        row = mine[np.int64(places[ids[first + j], PLACE])]
        for c in range(SHAPE):
            row[c] += _LN_2 * total(load(shape_sums, (j * SHAPE + c) * LANES))
        for c in range(wanted):
            row[SHAPE + c] += feature_sums[j * stride + c]


@kernel
def blend_backward(part, parts, tickets, splats, features, gradient, whole, sums):
    """gradient [H, W, C + 2] float32, of the sums of w * feature, w * depth and w, and whole [H, W] float32, the sum of gradient times these
    sums -> added to sums [parts, visible, SHAPE + C + 1], a Gaussian's row being its PLACE."""
    records, singles, starts, ids, order, columns = splats
    height, width, channels = gradient.shape
    stride = (channels - 1 + LANES - 1) // LANES * LANES
    pixels = TILE * TILE
    by_channel, by_pixel = np.zeros(pixels * channels, np.float32), np.zeros(pixels * stride, np.float32)
    behind = np.zeros(pixels, np.float32)
    shape_sums, feature_sums = np.empty(BATCH * SHAPE * LANES, np.float32), np.empty(BATCH * stride, np.float32)
    scratch = scratch_of(np.empty(BATCH * LANES, np.float32))
    local = np.empty(BATCH * channels, np.float32)
    products, last = (
        np.empty(BATCH * LANES, np.float32),
        np.zeros(2, np.int64),
    )  # last: is this the last batch; where the list ends
    local_sums = (shape_sums, feature_sums, behind, channels, products, last)
    state = (features, singles, ids, sums[part], local, (by_channel, by_pixel), local_sums, stride, scratch)
    while True:
        ticket = take_ticket(tickets, part, parts)
        if ticket >= len(order):
            break
        tile = order[ticket]
        last[1] = starts[tile + 1]
        x0, y0 = tile % columns * TILE, tile // columns * TILE
        if x0 + TILE > width or y0 + TILE > height:
            by_channel[:] = 0  # what the last tile left outside of the picture
            by_pixel[:] = 0
        for row in range(min(TILE, height - y0)):
            for column in range(min(TILE, width - x0)):
                pixel = row * TILE + column
                behind[pixel] = whole[y0 + row, x0 + column]
                lane, chunk = pixel % LANES, pixel // LANES
                for c in range(channels):
                    value = gradient[y0 + row, x0 + column, c]
                    by_channel[(chunk * channels + c) * LANES + lane] = value
                    if c < channels - 1:
                        by_pixel[pixel * stride + c] = value
        walk(splats, tile, width, height, scratch, _begin, _add, _pass_on, state)


@kernel
def picture_gradient(
    part, parts, out_gradient, depth_gradient, alpha_gradient, out, depth, alpha, remaining, background, gradient, whole
):
    """From the gradients of what `blend` gave to those of its sums; see blend_backward. All [H, W, C] or [H, W], background [C]."""
    height, width, channels = out.shape
    for y in range(height * part // parts, height * (part + 1) // parts):
        for x in range(width):
            left = remaining[y, x]
            of_one, sum_of_products = alpha_gradient[y, x], np.float32(0)
            for c in range(channels):
                g = out_gradient[y, x, c]
                gradient[y, x, c] = g
                of_one -= g * background[c]
                sum_of_products += g * (out[y, x, c] - left * background[c])
            of_depth = np.float32(0)
            if alpha[y, x] > 0:
                # depth = sum of w z / sum of w
                of_depth = depth_gradient[y, x] / alpha[y, x]
                of_one -= of_depth * depth[y, x]
            gradient[y, x, channels], gradient[y, x, channels + 1] = of_depth, of_one
            whole[y, x] = sum_of_products + of_depth * depth[y, x] * alpha[y, x] + of_one * alpha[y, x]
