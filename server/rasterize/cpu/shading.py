# SPDX-License-Identifier: GPL-3.0-or-later
"""What the visible Gaussians look like to one camera: colours from spherical harmonics, and normals. Formulas as in ../harmonics.py."""

from __future__ import annotations

import math

import numpy as np

from .compiling import kernel
from .projection import rotation_of

_C0, _C1 = 0.5 * math.sqrt(1 / math.pi), 0.5 * math.sqrt(3 / math.pi)
_C2, _D2 = 0.5 * math.sqrt(15 / math.pi), 0.25 * math.sqrt(5 / math.pi)
_C3, _D3, _E3, _F3 = (0.25 * math.sqrt(k / math.pi) for k in (35 / 2, 105, 21 / 2, 7))


@kernel
def shade(part, parts, sh, means, centre, chosen, spans, out):
    """sh [N, K, 3], means [N, 3] float32 and the camera's centre [3] float64 -> colours out [N, 3] float32 of the visible Gaussians."""
    bands = sh.shape[1]
    weights = np.zeros(16, np.float64)
    weights[0] = _C0
    for span in range(len(spans)):
        first, many = spans[span, 0], spans[span, 1] - spans[span, 0]
        for place in range(first + many * part // parts, first + many * (part + 1) // parts):
            i = chosen[place]
            if bands > 1:
                x, y, z = means[i, 0] - centre[0], means[i, 1] - centre[1], means[i, 2] - centre[2]
                inverse = 1 / max(math.sqrt(x * x + y * y + z * z), 1e-12)
                x, y, z = x * inverse, y * inverse, z * inverse
                xx, yy, zz = x * x, y * y, z * z
                weights[1], weights[2], weights[3] = -_C1 * y, _C1 * z, -_C1 * x
                weights[4], weights[5], weights[6] = _C2 * x * y, -_C2 * y * z, _D2 * (2 * zz - xx - yy)
                weights[7], weights[8] = -_C2 * x * z, 0.5 * _C2 * (xx - yy)
                weights[9], weights[10] = -_C3 * y * (3 * xx - yy), _D3 * x * y * z * 2
                weights[11], weights[12] = -_E3 * y * (4 * zz - xx - yy), _F3 * z * (2 * zz - 3 * xx - 3 * yy)
                weights[13], weights[14] = -_E3 * x * (4 * zz - xx - yy), _D3 * z * (xx - yy)
                weights[15] = -_C3 * x * (xx - 3 * yy)
            for c in range(3):
                value = 0.5
                for band in range(bands):
                    value += weights[band] * sh[i, band, c]
                out[i, c] = max(value, 0.0)


@kernel
def normals(part, parts, means, quats, scales, centre, forward, flat, chosen, spans, out):
    """The shortest axis of each visible Gaussian, turned toward the camera: out [N, 3] float32, the world's axes.

    centre, forward [3] float64: the camera's centre and its direction; flat: whether it is orthographic.
    """
    for span in range(len(spans)):
        first, many = spans[span, 0], spans[span, 1] - spans[span, 0]
        for place in range(first + many * part // parts, first + many * (part + 1) // parts):
            i = chosen[place]
            q = quats[i]
            w, x, y, z = np.float64(q[0]), np.float64(q[1]), np.float64(q[2]), np.float64(q[3])
            q00, q01, q02, q10, q11, q12, q20, q21, q22 = rotation_of(w, x, y, z)
            s = scales[i]
            if s[0] <= s[1] and s[0] <= s[2]:
                nx, ny, nz = q00, q10, q20
            elif s[1] <= s[2]:
                nx, ny, nz = q01, q11, q21
            else:
                nx, ny, nz = q02, q12, q22
            if flat:
                away = nx * forward[0] + ny * forward[1] + nz * forward[2]
            else:
                away = nx * (means[i, 0] - centre[0]) + ny * (means[i, 1] - centre[1]) + nz * (means[i, 2] - centre[2])
            sign = -1.0 if away > 0 else 1.0
            out[i, 0], out[i, 1], out[i, 2] = sign * nx, sign * ny, sign * nz
