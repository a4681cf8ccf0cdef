# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of plain EXR files: right values, and one named error for everything else."""

import struct

import numpy as np
import pytest
from splatonym.addon.capture.exr import read_exr
from splatonym.core.errors import InvalidFile


def plain_exr(channels, *, version=2, compression=0, kind=2, window=None):
    """The bytes of an EXR file with these channels, name -> [H, W] float32."""
    height, width = next(iter(channels.values())).shape
    listed = b"".join(name.encode() + b"\0" + struct.pack("<iiii", kind, 0, 1, 1) for name in sorted(channels)) + b"\0"
    box = struct.pack("<4i", *(window or (0, 0, width - 1, height - 1)))
    attributes = [
        ("channels", "chlist", listed),
        ("compression", "compression", bytes([compression])),
        ("dataWindow", "box2i", box),
    ]
    head = struct.pack("<ii", 20000630, version)
    for name, type_name, value in attributes:
        head += name.encode() + b"\0" + type_name.encode() + b"\0" + struct.pack("<i", len(value)) + value
    lines = [
        struct.pack("<ii", row, 4 * width * len(channels))
        + b"".join(channels[name][row].tobytes() for name in sorted(channels))
        for row in range(height)
    ]
    return head + b"\0" + bytes(8 * height) + b"".join(lines)


@pytest.fixture
def channels():
    draw = np.random.default_rng(0)
    return {name: draw.normal(size=(3, 5)).astype(np.float32) for name in ("Layer.Depth.Z", "Layer.Combined.R", "ä")}


def test_channels_come_back(channels, tmp_path):
    path = tmp_path / "a.exr"
    path.write_bytes(plain_exr(channels))
    found = read_exr(path)
    assert found.keys() == channels.keys()
    assert all(np.array_equal(found[name], channels[name]) for name in channels)


def test_a_file_cut_short_anywhere_is_refused(channels, tmp_path):
    path, whole = tmp_path / "a.exr", plain_exr(channels)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidFile, match=r"'a\.exr'"):
            read_exr(path)


@pytest.mark.parametrize(
    "odd",
    [
        {"version": 2 | 0x1000},  # several parts
        {"version": 2 | 0x200},  # tiles
        {"compression": 3},
        {"kind": 1},  # half floats
        {"window": (0, 0, -5, 2)},
        {"window": (0, 0, 4, 900)},
        {"window": (0, 5, 4, 7)},  # other rows than the file has
    ],
)
def test_other_kinds_of_exr_are_refused(channels, tmp_path, odd):
    path = tmp_path / "a.exr"
    path.write_bytes(plain_exr(channels, **odd))
    with pytest.raises(InvalidFile, match=r"'a\.exr'"):
        read_exr(path)
