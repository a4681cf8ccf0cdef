# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays by name in a block of bytes: ours and the safetensors package read each other."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from splatonym.core.errors import InvalidFile
from splatonym.core.tensors import dumps, loads

KINDS = [np.uint8, np.float16, np.float32, np.int32, np.int64]


def some(seed, kinds, shapes):
    rng = np.random.default_rng(seed)
    return {f"a{k}": (rng.random(shape) * 100).astype(kind) for k, (kind, shape) in enumerate(zip(kinds, shapes, strict=False))}


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 1000),
    st.lists(st.sampled_from(KINDS), max_size=4),
    st.lists(st.lists(st.integers(0, 5), max_size=3).map(tuple), max_size=4),
)
def test_what_is_written_is_read_bit_by_bit(seed, kinds, shapes):
    arrays = some(seed, kinds, shapes)
    back, about = loads(dumps(arrays, {"ä": "ö"}), "it")
    assert about == {"ä": "ö"} and list(back) == list(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype and np.array_equal(back[name], array)


def test_the_safetensors_package_reads_ours_and_we_read_its():
    package = pytest.importorskip("safetensors.numpy", reason="the package is not in Blender's environment")
    arrays = some(0, KINDS, [(3, 4), (5,), (2, 2, 2), (1,), (7, 1)])
    ours = package.load(dumps(arrays, {"k": "v"}))
    theirs, about = loads(package.save(arrays, {"k": "v"}), "it")
    assert about == {"k": "v"}
    for name, array in arrays.items():
        assert np.array_equal(ours[name], array) and ours[name].dtype == array.dtype
        assert np.array_equal(theirs[name], array) and theirs[name].dtype == array.dtype


def block(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"nonsense",
        b"\xff" * 64,
        struct.pack("<Q", 1 << 60) + b"{}",
        block([1]),
        block({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"\0" * 4),
        block({"a": {"dtype": "F32", "shape": [1 << 62, 4], "data_offsets": [0, 0]}}),
        block({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}),
        block({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}}),
        block({"a": {"dtype": "pickle", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4),
        block({"a": {"dtype": "F32", "shape": [True], "data_offsets": ["0", 4]}}, b"\0" * 4),
    ],
)
def test_anything_else_is_refused(bad):
    with pytest.raises(InvalidFile, match="it is not a safetensors block"):
        loads(bad, "it")
