# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the plain EXR files that Blender writes for us: one part, scan lines, not compressed, 32-bit channels.

Why not Blender's own reader: it gives a multilayer image no pixels without a window, and the way round through the
compositor differs between versions. The format is documented at openexr.com ("OpenEXR File Layout"): a header of named
attributes, a table of offsets, and for each line its number, its size, and one run of values a channel, in the header's order.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...core.errors import InvalidFile

_MAGIC, _TILED_DEEP_OR_PARTS = 20000630, 0x200 | 0x800 | 0x1000
_UINT, _FLOAT = 0, 2


def read_exr(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """All channels by name ("ViewLayer.Depth.Z"), each [H, W] float32, the top row first."""
    data = path.read_bytes()
    try:
        attributes, start = _header(data)
        channels = _channels(attributes["channels"])
        left, top, right, bottom = struct.unpack("<4i", attributes["dataWindow"])
        width, height = right - left + 1, bottom - top + 1
        if width < 1 or height < 1:
            raise ValueError(f"{width}x{height} pixels")
        if attributes["compression"] != b"\0" or any(kind not in (_UINT, _FLOAT) for kind in channels.values()):
            raise InvalidFile(f"'{path.name}' is compressed or not 32-bit.")
        line = np.dtype([("row", "<i4"), ("size", "<i4"), ("values", "<f4", (len(channels), width))])
        lines = np.frombuffer(data, line, count=height, offset=start + 8 * height)
        if (lines["size"] != 4 * len(channels) * width).any() or (np.sort(lines["row"]) != np.arange(top, bottom + 1)).any():
            raise InvalidFile(f"'{path.name}' has lines of another size than its header says.")
    except (KeyError, IndexError, ValueError, struct.error) as error:
        raise InvalidFile(f"'{path.name}' is not a plain EXR file: {error}.") from error
    values = lines["values"][np.argsort(lines["row"])]
    return {name: np.ascontiguousarray(values[:, place]) for place, name in enumerate(channels)}


def _header(data: bytes) -> tuple[dict[str, bytes], int]:
    """Attributes by name, and where the table of offsets begins."""
    magic, version = struct.unpack_from("<ii", data)
    if magic != _MAGIC or version & _TILED_DEEP_OR_PARTS:
        raise ValueError(f"magic {magic}, version {version:#x}")
    attributes, place = {}, 8
    while data[place]:
        name, place = _text(data, place)
        _kind, place = _text(data, place)
        (size,) = struct.unpack_from("<i", data, place)
        attributes[name] = data[place + 4 : place + 4 + size]
        place += 4 + size
    return attributes, place + 1


def _channels(data: bytes) -> dict[str, int]:
    """Channel names in the file's order, with their pixel types."""
    channels, place = {}, 0
    while data[place]:
        name, place = _text(data, place)
        (channels[name],) = struct.unpack_from("<i", data, place)
        place += 16
    return channels


def _text(data: bytes, place: int) -> tuple[str, int]:
    end = data.index(b"\0", place)
    return data[place:end].decode("utf-8"), end + 1
