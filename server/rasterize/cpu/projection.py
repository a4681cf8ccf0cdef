# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaussians to splats, forward and backward; the formulas of ../projection.py as one pass over the Gaussians.

A splat's exponent is kept by rows of pixels, in units of log2, so that alpha is one exp2 of a sum of two squares:

    log2 alpha = log2 opacity - A (dx - s dy)^2 - k dy^2,   s = cov_xy / cov_yy,   A = log2(e)/2 cov_yy / det,   k = log2(e)/2 / cov_yy

The usual a dx^2 + 2 b dx dy + c dy^2 is, for a needle, a small difference of huge terms: in float32 its alpha is noise. For the same
reason centres and slopes are float64 up to the pixel's own offset.
"""

from __future__ import annotations

import math

import numpy as np

from ....core.cameras import Camera
from ..contract import ALPHA_LEAST, RasterSettings
from .compiling import inner, kernel

TILE_BITS = 4
TILE = 1 << TILE_BITS
"""Side of a tile, pixels."""

# A splat's record is one cache line of 64 bytes: three float64, then float32.
X, Y, SLOPE = range(3)
"""Places in a record seen as 8 float64: centre in pixels, and s."""
A, K, LOG_OPACITY, HALF_WIDTH, HALF_HEIGHT, DEPTH, TURN, PLACE = range(6, 14)
"""Places in a record seen as 16 float32. Halves of the box where alpha reaches 1/255, pixels; depth; the dy at which x is greatest;
its place in the order of depth, as uint32."""

SHAPE = 6
"""Sums that say how a splat's exponent changes the loss; see gradients.py."""

_HALF_LOG2_E = 0.5 / math.log(2)
_NATURAL = 1 / _HALF_LOG2_E
_LN_2 = math.log(2)
_LOG_ALPHA_LEAST = math.log2(ALPHA_LEAST)
_REACH_MOST = -2 * math.log(ALPHA_LEAST)
"""The quadratic form's value where an opaque Gaussian's alpha falls below 1/255."""
_MARGIN = 1e-3
"""Pixels added to a box: more than float32 takes away from it. What a pixel shows is decided by its alpha alone."""


def camera_numbers(camera: Camera, settings: RasterSettings, unit_quats: bool) -> np.ndarray:
    """[28] float64, all that the kernels need to know of a camera: `pose_of`, `lens_of` and `settings_of` take it apart."""
    pose = camera.T_camera_world
    flat = camera.projection == "orthographic"
    limits = []  # of x / z and y / z in the Jacobian: 30% of the half picture beyond its edges
    for focal, centre, side in ((camera.fx, camera.cx, camera.width), (camera.fy, camera.cy, camera.height)):
        margin = 0.3 * 0.5 * side / focal
        limits += [-centre / focal - margin, (side - centre) / focal + margin]
    intrinsics = [camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height]
    numbers = [*pose[:3, :3].ravel(), *pose[:3, 3], *intrinsics, *limits]
    return np.array([*numbers, settings.near, settings.far, settings.eps2d, settings.antialiased, flat, unit_quats], np.float64)


@inner
def pose_of(camera):
    """World to camera: the rotation row by row, then the translation."""
    c = camera
    return c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9], c[10], c[11]


@inner
def lens_of(camera):
    """fx, fy, cx, cy, width, height, and the limits of x / z and y / z."""
    c = camera
    return c[12], c[13], c[14], c[15], c[16], c[17], c[18], c[19], c[20], c[21]


@inner
def settings_of(camera):
    """near, far, eps2d, whether antialiased, whether orthographic, whether quaternions have to be of length 1."""
    return camera[22], camera[23], camera[24], camera[25] > 0, camera[26] > 0, camera[27] > 0


@inner
def rotation_of(w, x, y, z):
    """A quaternion of any length -> its rotation matrix, row by row."""
    twice = 2.0 / (w * w + x * x + y * y + z * z)
    xx, yy, zz = x * x * twice, y * y * twice, z * z * twice
    xy, xz, yz = x * y * twice, x * z * twice, y * z * twice
    wx, wy, wz = w * x * twice, w * y * twice, w * z * twice
    return 1 - yy - zz, xy - wz, xz + wy, xy + wz, 1 - xx - zz, yz - wx, xz - wy, yz + wx, 1 - xx - yy


@inner
def determinant(m0, m1, m2, n0, n1, n2):
    """Of the covariance [m; n] [m; n]^T, as a sum of squares (Cauchy-Binet): xx yy - xy^2 is, for a needle, all that is left of far
    greater numbers."""
    a, b, c = m0 * n1 - m1 * n0, m0 * n2 - m2 * n0, m1 * n2 - m2 * n1
    return a * a + b * b + c * c


@inner
def clamp(value, low, high):
    return min(max(value, low), high)


@kernel
def project(part, parts, means, quats, scales, opacities, camera, records, singles, rects, keys, chosen, found):
    """Project this part of the Gaussians; those that can show get a record.

    means [N, 3], quats [N, 4], scales [N, 3], opacities [N] float32. records [N, 8] float64 and singles [N, 16] float32 are the same memory.
    rects [N, 4] int16: the tiles from left to right - 1 and from top to bottom - 1. keys [N] uint32: depths, as numbers that sort alike, and
    chosen [N] int32: the Gaussians, both without gaps from the part's first place on. found [parts, 4] int64: how many, their least and
    greatest key, and how many Gaussians have values that nothing can be made of.
    """
    r00, r01, r02, r10, r11, r12, r20, r21, r22, t0, t1, t2 = pose_of(camera)
    fx, fy, cx, cy, width, height, left_most, right_most, top_most, bottom_most = lens_of(camera)
    near, far, eps2d, antialiased, flat, unit_quats = settings_of(camera)
    longest_x, longest_y = _REACH_MOST * fx * fx, _REACH_MOST * fy * fy
    if not flat:
        longest_x *= 1 + max(-left_most, right_most) ** 2
        longest_y *= 1 + max(-top_most, bottom_most) ** 2
    count = len(means)
    first, end = count * part // parts, count * (part + 1) // parts
    words = singles.view(np.uint32)
    place, bad = first, 0
    key_least, key_most = np.uint32(0xFFFFFFFF), np.uint32(0)
    for i in range(first, end):
        px, py, pz = np.float64(means[i, 0]), np.float64(means[i, 1]), np.float64(means[i, 2])
        qw, qx, qy, qz = np.float64(quats[i, 0]), np.float64(quats[i, 1]), np.float64(quats[i, 2]), np.float64(quats[i, 3])
        sx, sy, sz = np.float64(scales[i, 0]), np.float64(scales[i, 1]), np.float64(scales[i, 2])
        opacity = np.float64(opacities[i])
        norm = qw * qw + qx * qx + qy * qy + qz * qz
        # A sum of squares is finite only if each is, and a comparison with NaN is false.
        if not (
            norm > 0
            and px * px + py * py + pz * pz + norm + sx * sx + sy * sy + sz * sz < math.inf
            and sx > 0
            and sy > 0
            and sz > 0
            and opacity >= 0
            and opacity <= 1
            and (abs(norm - 1) < 2e-3 or not unit_quats)
        ):
            bad += 1
            continue
        z = r20 * px + r21 * py + r22 * pz + t2
        if z < near or z > far or opacity < ALPHA_LEAST or (z <= 0 and not flat):
            continue
        x = r00 * px + r01 * py + r02 * pz + t0
        y = r10 * px + r11 * py + r12 * pz + t1

        # Most that do not show are left out here: however a Gaussian is turned, its splat reaches no farther than its longest axis would, and
        # a row of the Jacobian is no longer than at its limit. All of it times z, which saves the division.
        ahead = 1.0 if flat else z
        largest, blur = max(sx, sy, sz) ** 2, _REACH_MOST * eps2d * ahead * ahead
        across, down = fx * x + cx * ahead, fy * y + cy * ahead
        beside, above = max(-across, across - width * ahead, 0.0), max(-down, down - height * ahead, 0.0)
        if (beside * beside > largest * longest_x + blur) | (above * above > largest * longest_y + blur):
            continue

        # The Jacobian times the camera's rotation: one row for each axis of the picture.
        if flat:
            ax, ay, az = fx * r00, fx * r01, fx * r02
            bx, by, bz = fy * r10, fy * r11, fy * r12
            u, v = across, down
        else:
            inverse = 1 / z
            slope_x, slope_y = x * inverse, y * inverse
            u, v = fx * slope_x + cx, fy * slope_y + cy
            slope_x, slope_y = clamp(slope_x, left_most, right_most), clamp(slope_y, top_most, bottom_most)
            scale_x, scale_y = fx * inverse, fy * inverse
            ax, ay, az = scale_x * (r00 - slope_x * r20), scale_x * (r01 - slope_x * r21), scale_x * (r02 - slope_x * r22)
            bx, by, bz = scale_y * (r10 - slope_y * r20), scale_y * (r11 - slope_y * r21), scale_y * (r12 - slope_y * r22)
        q00, q01, q02, q10, q11, q12, q20, q21, q22 = rotation_of(qw, qx, qy, qz)
        m0, m1, m2 = (
            (ax * q00 + ay * q10 + az * q20) * sx,
            (ax * q01 + ay * q11 + az * q21) * sy,
            (ax * q02 + ay * q12 + az * q22) * sz,
        )
        n0, n1, n2 = (
            (bx * q00 + by * q10 + bz * q20) * sx,
            (bx * q01 + by * q11 + bz * q21) * sy,
            (bx * q02 + by * q12 + bz * q22) * sz,
        )
        xx, xy, yy = m0 * m0 + m1 * m1 + m2 * m2, m0 * n0 + m1 * n1 + m2 * n2, n0 * n0 + n1 * n1 + n2 * n2
        sharp = determinant(m0, m1, m2, n0, n1, n2)
        area = sharp + eps2d * (xx + yy + eps2d)
        xx, yy = xx + eps2d, yy + eps2d
        if not (area > 0 and area < math.inf):
            continue
        if antialiased:
            opacity *= math.sqrt(sharp / area)
        # How far alpha stays above 1/255, in units of log2.
        if opacity < ALPHA_LEAST:
            continue
        log_opacity = math.log2(np.float32(opacity))
        reach = max((log_opacity - _LOG_ALPHA_LEAST) * _NATURAL, 0.0)
        half_width, half_height = math.sqrt(reach * xx) + _MARGIN, math.sqrt(reach * yy) + _MARGIN
        left, right = max(u - half_width + 0.5, 0.0), min(u + half_width + 0.5, width)
        top, bottom = max(v - half_height + 0.5, 0.0), min(v + half_height + 0.5, height)
        if not (left <= right and top <= bottom):  # NaN, too
            continue
        # Rounded toward 0: the pixels from first to last - 1 have their centres in the box.
        first_x, last_x, first_y, last_y = np.int64(left), np.int64(right), np.int64(top), np.int64(bottom)
        if (first_x >= last_x) | (first_y >= last_y):
            continue

        inverse_yy = 1 / yy
        records[i, X], records[i, Y], records[i, SLOPE] = u, v, xy * inverse_yy
        single = singles[i]
        single[A], single[K], single[LOG_OPACITY] = _HALF_LOG2_E * yy / area, _HALF_LOG2_E * inverse_yy, log_opacity
        single[HALF_WIDTH], single[HALF_HEIGHT], single[DEPTH] = half_width, half_height, z
        single[TURN] = xy / xx * half_width
        rects[i, 0], rects[i, 1] = first_x >> TILE_BITS, ((last_x - 1) >> TILE_BITS) + 1
        rects[i, 2], rects[i, 3] = first_y >> TILE_BITS, ((last_y - 1) >> TILE_BITS) + 1
        # The bits of a float32 sort as numbers if those of negative ones are turned over.
        key = words[i, DEPTH]
        key = ~key if key >> np.uint32(31) else key | np.uint32(0x80000000)
        keys[place], chosen[place] = key, i
        key_least, key_most = min(key_least, key), max(key_most, key)
        place += 1
    found[part, 0], found[part, 1], found[part, 2], found[part, 3] = place - first, key_least, key_most, bad


@kernel
def project_backward(
    part,
    parts,
    means,
    quats,
    scales,
    opacities,
    camera,
    chosen,
    spans,
    singles,
    sums,
    of_means,
    of_quats,
    of_scales,
    of_opacities,
    of_features,
):
    """Gradients of the splats -> of the Gaussians, for this part of the visible ones; the arrays [N, ...] float32 are added to.

    chosen [N] int32 and spans [threads, 2]: the visible Gaussians as `project` left them. sums [threads, visible, SHAPE + C + 1], a
    Gaussian's row being its PLACE: see gradients.py.
    """
    r00, r01, r02, r10, r11, r12, r20, r21, r22, t0, t1, t2 = pose_of(camera)
    fx, fy, _, _, _, _, left_most, right_most, top_most, bottom_most = lens_of(camera)
    _, _, eps2d, antialiased, flat, _ = settings_of(camera)
    threads, _, width = sums.shape
    row, places = np.empty(width, np.float64), singles.view(np.uint32)
    for span in range(len(spans)):
        first, end = spans[span, 0], spans[span, 1]
        for place in range(first + (end - first) * part // parts, first + (end - first) * (part + 1) // parts):
            i = chosen[place]
            for c in range(width):
                value = np.float64(sums[0, places[i, PLACE], c])
                for thread in range(1, threads):
                    value += sums[thread, places[i, PLACE], c]
                row[c] = value
            for c in range(of_features.shape[1]):
                of_features[i, c] += row[SHAPE + c]

            # Forward again.
            px, py, pz = np.float64(means[i, 0]), np.float64(means[i, 1]), np.float64(means[i, 2])
            qw, qx, qy, qz = np.float64(quats[i, 0]), np.float64(quats[i, 1]), np.float64(quats[i, 2]), np.float64(quats[i, 3])
            sx, sy, sz = np.float64(scales[i, 0]), np.float64(scales[i, 1]), np.float64(scales[i, 2])
            length = math.sqrt(qw * qw + qx * qx + qy * qy + qz * qz)
            qw, qx, qy, qz = qw / length, qx / length, qy / length, qz / length
            x, y = r00 * px + r01 * py + r02 * pz + t0, r10 * px + r11 * py + r12 * pz + t1
            z = r20 * px + r21 * py + r22 * pz + t2
            inverse = 1.0 if flat else 1 / z
            scale_x, scale_y = fx * inverse, fy * inverse
            slope_x = 0.0 if flat else clamp(x * inverse, left_most, right_most)
            slope_y = 0.0 if flat else clamp(y * inverse, top_most, bottom_most)
            ex, ey, ez = r00 - slope_x * r20, r01 - slope_x * r21, r02 - slope_x * r22
            hx, hy, hz = r10 - slope_y * r20, r11 - slope_y * r21, r12 - slope_y * r22
            ax, ay, az = scale_x * ex, scale_x * ey, scale_x * ez
            bx, by, bz = scale_y * hx, scale_y * hy, scale_y * hz
            q00, q01, q02, q10, q11, q12, q20, q21, q22 = rotation_of(qw, qx, qy, qz)
            k0, k1, k2 = ax * q00 + ay * q10 + az * q20, ax * q01 + ay * q11 + az * q21, ax * q02 + ay * q12 + az * q22
            l0, l1, l2 = bx * q00 + by * q10 + bz * q20, bx * q01 + by * q11 + bz * q21, bx * q02 + by * q12 + bz * q22
            m0, m1, m2 = k0 * sx, k1 * sy, k2 * sz
            n0, n1, n2 = l0 * sx, l1 * sy, l2 * sz
            xx, xy, yy = m0 * m0 + m1 * m1 + m2 * m2, m0 * n0 + m1 * n1 + m2 * n2, n0 * n0 + n1 * n1 + n2 * n2
            sharp_xx, sharp_yy = xx, yy
            sharp = determinant(m0, m1, m2, n0, n1, n2)
            area = sharp + eps2d * (xx + yy + eps2d)
            xx, yy = xx + eps2d, yy + eps2d

            # log2 alpha = log2 opacity - A d^2 - k dy^2, d = dx - s dy
            narrow, fall, lean = _HALF_LOG2_E * yy / area, _HALF_LOG2_E / yy, xy / yy
            of_p, of_d, of_dd, of_dy, of_ddy, of_dydy = row[0], row[1], row[2], row[3], row[4], row[5]
            of_u = 2 * narrow * of_d
            of_v = 2 * fall * of_dy - 2 * narrow * lean * of_d
            of_narrow, of_fall, of_lean = -of_dd, -of_dydy, 2 * narrow * of_ddy
            of_area = -of_narrow * narrow / area
            of_xx = of_area * yy
            of_xy = -2 * of_area * xy + of_lean / yy
            of_yy = of_area * xx + (of_narrow * _HALF_LOG2_E / area) - (of_fall * fall + of_lean * lean) / yy
            of_log = of_p / _LN_2
            of_opacities[i] += of_log / np.float64(opacities[i])
            if antialiased and sharp > 0:
                # opacity * sqrt(sharp / area)
                of_sharp, of_area = 0.5 * of_log / sharp, -0.5 * of_log / area
                of_xx += of_sharp * sharp_yy + of_area * yy
                of_yy += of_sharp * sharp_xx + of_area * xx
                of_xy -= 2 * (of_sharp + of_area) * xy

            # The covariance's halves m and n, then the Jacobian's rows a and b, the rotation and the scales.
            of_m0, of_m1, of_m2 = 2 * of_xx * m0 + of_xy * n0, 2 * of_xx * m1 + of_xy * n1, 2 * of_xx * m2 + of_xy * n2
            of_n0, of_n1, of_n2 = 2 * of_yy * n0 + of_xy * m0, 2 * of_yy * n1 + of_xy * m1, 2 * of_yy * n2 + of_xy * m2
            of_scales[i, 0] += of_m0 * k0 + of_n0 * l0
            of_scales[i, 1] += of_m1 * k1 + of_n1 * l1
            of_scales[i, 2] += of_m2 * k2 + of_n2 * l2
            of_m0, of_m1, of_m2, of_n0, of_n1, of_n2 = of_m0 * sx, of_m1 * sy, of_m2 * sz, of_n0 * sx, of_n1 * sy, of_n2 * sz
            of_ax, of_ay, of_az = (
                of_m0 * q00 + of_m1 * q01 + of_m2 * q02,
                of_m0 * q10 + of_m1 * q11 + of_m2 * q12,
                of_m0 * q20 + of_m1 * q21 + of_m2 * q22,
            )
            of_bx, of_by, of_bz = (
                of_n0 * q00 + of_n1 * q01 + of_n2 * q02,
                of_n0 * q10 + of_n1 * q11 + of_n2 * q12,
                of_n0 * q20 + of_n1 * q21 + of_n2 * q22,
            )
            g00, g01, g02 = of_m0 * ax + of_n0 * bx, of_m1 * ax + of_n1 * bx, of_m2 * ax + of_n2 * bx
            g10, g11, g12 = of_m0 * ay + of_n0 * by, of_m1 * ay + of_n1 * by, of_m2 * ay + of_n2 * by
            g20, g21, g22 = of_m0 * az + of_n0 * bz, of_m1 * az + of_n1 * bz, of_m2 * az + of_n2 * bz
            gw = 2 * (qx * (g21 - g12) + qy * (g02 - g20) + qz * (g10 - g01))
            gx = 2 * (qw * (g21 - g12) + qy * (g01 + g10) + qz * (g02 + g20) - 2 * qx * (g11 + g22))
            gy = 2 * (qw * (g02 - g20) + qx * (g01 + g10) + qz * (g12 + g21) - 2 * qy * (g00 + g22))
            gz = 2 * (qw * (g10 - g01) + qx * (g02 + g20) + qy * (g12 + g21) - 2 * qz * (g00 + g11))
            along = gw * qw + gx * qx + gy * qy + gz * qz  # a longer quaternion is the same rotation
            of_quats[i, 0] += (gw - along * qw) / length
            of_quats[i, 1] += (gx - along * qx) / length
            of_quats[i, 2] += (gy - along * qy) / length
            of_quats[i, 3] += (gz - along * qz) / length

            # The centre: its place in the picture, its depth, and the Jacobian where it is not clamped.
            of_x, of_y, of_z = of_u * scale_x, of_v * scale_y, row[width - 1]
            if not flat:
                of_z -= (of_u * fx * x + of_v * fy * y) * inverse * inverse
                of_scale_x, of_scale_y = of_ax * ex + of_ay * ey + of_az * ez, of_bx * hx + of_by * hy + of_bz * hz
                of_z -= (of_scale_x * scale_x + of_scale_y * scale_y) * inverse
                if slope_x == x * inverse:
                    of_slope = -scale_x * (of_ax * r20 + of_ay * r21 + of_az * r22)
                    of_x += of_slope * inverse
                    of_z -= of_slope * slope_x * inverse
                if slope_y == y * inverse:
                    of_slope = -scale_y * (of_bx * r20 + of_by * r21 + of_bz * r22)
                    of_y += of_slope * inverse
                    of_z -= of_slope * slope_y * inverse
            of_means[i, 0] += of_x * r00 + of_y * r10 + of_z * r20
            of_means[i, 1] += of_x * r01 + of_y * r11 + of_z * r21
            of_means[i, 2] += of_x * r02 + of_y * r12 + of_z * r22
