# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames: what goes in comes out, and whatever else comes in is refused by its own error, before anything is allocated."""

import io
import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from splatonym.core.wire import errors, framing
from splatonym.core.wire.framing import FRAME_VERSION, MAGIC, PRELUDE, FrameReader, Limits, pack_frame

DTYPES = st.sampled_from([f"{order}{name}" for name in framing.DTYPES for order in "<>"])
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=7)


def finite(dtype, shape):
    options = {"allow_nan": False, "allow_infinity": False} if np.dtype(dtype).kind == "f" else {}
    return hnp.arrays(dtype, shape, elements=hnp.from_dtype(np.dtype(dtype), **options))


ARRAY = st.tuples(DTYPES, SHAPES).flatmap(lambda pair: finite(*pair))
LAID_OUT = st.tuples(ARRAY, st.sampled_from(["C", "F", "reversed", "read-only"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def lay_out(array, how):
    if how == "F":
        return np.asfortranarray(array) if array.ndim else array
    if how == "reversed":
        return array[::-1] if array.ndim else array
    array.flags.writeable = how != "read-only"
    return array


def written(frame):
    out = io.BytesIO()
    frame.write_to(out)
    return out.getvalue()


def frame_bytes(header, payload=b"", *, magic=MAGIC, version=FRAME_VERSION, header_length=None, payload_length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    lengths = (
        len(text) if header_length is None else header_length,
        len(payload) if payload_length is None else payload_length,
    )
    return PRELUDE.pack(magic, version, *lengths) + text + payload


def spec(name="a", dtype="f4", shape=(2,), offset=0):
    return {"name": name, "dtype": dtype, "shape": list(shape) if isinstance(shape, tuple) else shape, "offset": offset}


def read(data, limits=None):
    reader = FrameReader(io.BytesIO(data), limits)
    header = reader.read_header()
    return header, reader.read_arrays()


class Dribble(io.RawIOBase):
    """A source that gives what it has in small, odd pieces, as pipes may."""

    def __init__(self, data, size):
        self._data, self._size = io.BytesIO(data), size

    def readinto(self, buffer):
        piece = self._data.read(min(self._size, len(buffer)))
        buffer[: len(piece)] = piece
        return len(piece)


@settings(deadline=None, max_examples=60)
@given(header=st.dictionaries(st.text().filter(lambda k: k != "arrays"), JSON, max_size=3),
       items=st.dictionaries(st.text(min_size=1, max_size=20), LAID_OUT, max_size=4), piece=st.integers(1, 50))  # fmt: skip
def test_what_goes_in_comes_out(header, items, piece):
    arrays = {name: lay_out(array, how) for name, (array, how) in items.items()}
    frame = pack_frame(header, arrays, Limits())
    data = written(frame)
    assert frame.bytes == len(data)
    reader = FrameReader(Dribble(data * 2, piece))
    for _ in range(2):
        assert reader.read_header() == header
        back = reader.read_arrays()
        assert list(back) == list(arrays)
        for name, array in arrays.items():
            assert back[name].dtype == array.dtype.newbyteorder("<")
            assert back[name].flags.c_contiguous and back[name].flags.writeable
            np.testing.assert_array_equal(back[name], array, strict=False)
            assert back[name].shape == array.shape
    assert reader.read_header() is None


def test_c_ordered_arrays_are_sent_from_where_they_lie():
    array = np.arange(6, dtype="<f4").reshape(2, 3)
    (view,) = pack_frame({}, {"a": array}, Limits()).payload
    array[0, 0] = 42
    assert np.frombuffer(view, "<f4")[0] == 42


@pytest.mark.parametrize("size", [1, 5000, 1 << 20, 10 << 20])
def test_blocks_begin_with_a_page(size):
    block = framing.aligned_block(size)
    assert block.shape == (size,) and block.flags.writeable
    assert block.ctypes.data % (4096 if size < 4 << 20 else 2 << 20) == 0


def test_arrays_of_a_frame_do_not_overlap():
    arrays = {str(k): np.full((k * 1000 + 1,), k, "<f8") for k in range(6)}
    back = read(written(pack_frame({}, arrays, Limits())))[1]
    for array in back.values():
        array += 100
    assert all((back[name] == array + 100).all() for name, array in arrays.items())
    assert all(array.ctypes.data % 64 == 0 for array in back.values())


def test_a_sink_may_take_less_than_it_is_given():
    class Narrow(io.BytesIO):
        def write(self, data):
            return super().write(data[:3])

    sink = Narrow()
    pack_frame({"x": 1}, {"a": np.arange(5, dtype="i4")}, Limits()).write_to(sink)
    assert read(sink.getvalue())[1]["a"].tolist() == [0, 1, 2, 3, 4]


REFUSED = {
    "wrong magic": (frame_bytes({}, magic=b"JUNK"), errors.WrongMagic, "JUNK"),
    "wrong version": (frame_bytes({}, version=99), errors.WrongVersion, "99"),
    "header over 1 MB": (frame_bytes({}, header_length=(1 << 20) + 1), errors.HeaderTooLarge, "1048577"),
    "header not JSON": (frame_bytes(b"{nonsense"), errors.BadHeader, "not JSON"),
    "header not UTF-8": (frame_bytes(b'{"a": "\xff"}'), errors.BadHeader, "not JSON"),
    "header nested without end": (frame_bytes(b"[" * 100_000), errors.BadHeader, "not JSON"),
    "NaN in the header": (frame_bytes(b'{"a": NaN}'), errors.BadHeader, "NaN"),
    "header no object": (frame_bytes([1]), errors.BadHeader, "object"),
    "arrays no list": (frame_bytes({"arrays": "abc"}), errors.BadArray, "list"),
    "array no object": (frame_bytes({"arrays": [7]}), errors.BadArray, "7"),
    "array without offset": (frame_bytes({"arrays": [{"name": "a", "dtype": "f4", "shape": 1}]}), errors.BadArray, "3 fields"),
    "array without name": (frame_bytes({"arrays": [spec(name="")]}), errors.BadArray, "name"),
    "name twice": (frame_bytes({"arrays": [spec(), spec(offset=8)]}, bytes(16)), errors.BadArray, "twice"),
    "unknown dtype": (frame_bytes({"arrays": [spec(dtype="O")]}, bytes(8)), errors.UnknownDtype, "'O'"),
    "big-endian dtype": (frame_bytes({"arrays": [spec(dtype=">f4")]}, bytes(8)), errors.UnknownDtype, ">f4"),
    "dtype no text": (frame_bytes({"arrays": [spec(dtype=["f4"])]}, bytes(8)), errors.UnknownDtype, "f4"),
    "negative side": (frame_bytes({"arrays": [spec(shape=(-1,))]}), errors.BadArray, "-1"),
    "side no whole number": (frame_bytes({"arrays": [spec(shape=[2.0])]}, bytes(8)), errors.BadArray, "2.0"),
    "side true": (frame_bytes({"arrays": [spec(shape=[True])]}, bytes(4)), errors.BadArray, "True"),
    "shape no list": (frame_bytes({"arrays": [spec(shape="2")]}, bytes(8)), errors.BadArray, "shape"),
    "nine dimensions": (frame_bytes({"arrays": [spec(shape=(1,) * 9)]}, bytes(4)), errors.BadArray, "9 dim"),
    "over the limit": (frame_bytes({"arrays": [spec(shape=(1 << 30,))]}), errors.ArrayTooLarge, "2048 MB"),
    "overflowing product": (frame_bytes({"arrays": [spec(shape=(1 << 62, 1 << 62))]}), errors.ArrayTooLarge, "MB"),
    "huge empty array": (frame_bytes({"arrays": [spec(shape=(1 << 62, 0))]}), errors.ArrayTooLarge, "MB"),
    "huge number": (frame_bytes({"arrays": [spec(shape=(10**400,))]}), errors.ArrayTooLarge, "digits"),
    "gap": (frame_bytes({"arrays": [spec(offset=4)]}, bytes(12)), errors.BadArray, "offset"),
    "overlap": (frame_bytes({"arrays": [spec(), spec("b", offset=4)]}, bytes(12)), errors.BadArray, "offset"),
    "payload too long": (frame_bytes({"arrays": [spec()]}, bytes(9)), errors.BadArray, "9"),
    "payload unannounced": (frame_bytes({}, bytes(3)), errors.BadArray, "3"),
    "cut prelude": (frame_bytes({})[:7], errors.TruncatedFrame, "prelude"),
    "cut before the header": (frame_bytes({})[:20], errors.TruncatedFrame, "header"),
    "cut header": (frame_bytes({"a": 1})[:-2], errors.TruncatedFrame, "header"),
    "cut array": (frame_bytes({"arrays": [spec()]}, bytes(8))[:-3], errors.TruncatedFrame, "'a'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_each_damage_has_its_own_error(name):
    data, error, word = REFUSED[name]
    with pytest.raises(error, match="(?s)" + word.replace("'", ".")) as caught:
        read(data)
    assert caught.value.kind == error.kind


def test_kinds_differ():
    kinds = [cls.kind for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.WireError)]
    assert len(set(kinds)) == len(kinds)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1, 300_000, -1])
def test_not_a_number_is_found_and_named(dtype, bad, place):
    array = np.ones((2, 300_001), f"<{dtype}")
    array.reshape(-1)[place] = bad
    expected = np.unravel_index(place % array.size, array.shape)
    with pytest.raises(errors.NotFinite, match=rf"'depth' holds {bad} at \[{expected[0]}, {expected[1]}\]"):
        read(written(pack_frame({}, {"depth": array}, Limits())))


@pytest.mark.parametrize("value", [np.finfo("f4").max, np.finfo("f4").min, np.finfo("f4").smallest_subnormal, -0.0])
def test_extreme_finite_numbers_pass(value):
    array = np.full(100_000, value, "<f4")
    assert read(written(pack_frame({}, {"a": array}, Limits())))[1]["a"].tobytes() == array.tobytes()


@pytest.mark.parametrize("size", [1, 3, 4093])
def test_not_a_number_is_found_in_odd_pieces(size):
    array = np.ones(5000, "<f8")
    array[4999] = np.nan
    reader = FrameReader(Dribble(written(pack_frame({}, {"a": array}, Limits())), size))
    reader.read_header()
    with pytest.raises(errors.NotFinite, match="4999"):
        reader.read_arrays()


def test_reading_goes_on_behind_a_refused_frame():
    nan = np.full(1_000_000, np.nan, "<f4")
    refused = [
        frame_bytes({"arrays": [spec(dtype="U5")]}, bytes(5_000_000)),
        frame_bytes({"arrays": [spec(shape=(2,)), spec("b", shape=(3,), offset=9)]}, bytes(20)),
        written(pack_frame({}, {"a": nan, "b": np.ones(1000)}, Limits())),
    ]
    good = written(pack_frame({"last": True}, {"a": np.arange(3, dtype="i4")}, Limits()))
    reader = FrameReader(io.BytesIO(b"".join(refused) + good))
    for _ in refused:
        assert reader.read_header() == {}
        with pytest.raises(errors.WireError) as caught:
            reader.read_arrays()
        assert not isinstance(caught.value, errors.BrokenStream)
    assert reader.read_header() == {"last": True}
    assert reader.read_arrays()["a"].tolist() == [0, 1, 2]


def test_nothing_is_allocated_for_what_is_refused():
    data = frame_bytes({"arrays": [spec(shape=(1 << 28,)), spec("b", "O", offset=1 << 30)]}, payload_length=(1 << 30) + 8)
    reader = FrameReader(io.BytesIO(data))
    tracemalloc.start()
    try:
        reader.read_header()
        with pytest.raises(errors.UnknownDtype):
            reader.read_arrays()
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("arrays", "limits", "error"),
    [
        ({"a": np.zeros(3, bool)}, Limits(), errors.UnknownDtype),
        ({"a": np.zeros(3, object)}, Limits(), errors.UnknownDtype),
        ({"a": np.zeros(3, "c8")}, Limits(), errors.UnknownDtype),
        ({"a": np.zeros(3, [("x", "f4")])}, Limits(), errors.UnknownDtype),
        ({"a": np.zeros(3)}, Limits(array=16), errors.ArrayTooLarge),
        ({"a": np.zeros(3), "b": np.zeros(3)}, Limits(payload=40), errors.ArrayTooLarge),
        ({"": np.zeros(3)}, Limits(), errors.BadArray),
        ({"a" * 150: np.zeros(1)}, Limits(header=100), errors.HeaderTooLarge),
    ],
)
def test_the_sender_refuses_what_the_reader_would(arrays, limits, error):
    with pytest.raises(error):
        pack_frame({}, arrays, limits)


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, np.float32(1)])
def test_a_header_is_plain_json(value):
    with pytest.raises(errors.BadHeader):
        pack_frame({"x": value}, {}, Limits())


GOOD = written(
    pack_frame(
        {"type": "request", "id": 3, "body": {}}, {"α": np.ones((2, 3), "<f4"), "n": np.arange(4, dtype="<u2")}, Limits()
    )
)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damaged_frames_end_in_a_typed_error_or_in_arrays(data):
    damaged = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        match data.draw(st.sampled_from(["change", "cut", "insert", "remove"])):
            case "change":
                damaged[place] = data.draw(st.integers(0, 255))
            case "cut":
                damaged = damaged[: max(place, 1)]
            case "insert":
                damaged[place:place] = data.draw(st.binary(min_size=1, max_size=5))
            case "remove" if len(damaged) > 1:
                del damaged[place]
    reader = FrameReader(io.BytesIO(bytes(damaged)), Limits(array=1 << 20, payload=1 << 21))
    for _ in range(5):
        try:
            if reader.read_header() is None:
                return
            reader.read_arrays()
        except errors.BrokenStream:
            return
        except errors.WireError:
            continue


ANNOUNCED = st.fixed_dictionaries(
    {
        "name": JSON,
        "dtype": st.sampled_from([*framing.DTYPES, "O"]) | JSON,
        "shape": st.lists(st.integers(-2, 1 << 40) | JSON, max_size=4) | JSON,
        "offset": st.integers(-4, 64) | JSON,
    }
)


@settings(deadline=None, max_examples=200)
@given(arrays=st.lists(ANNOUNCED, max_size=3) | JSON, payload=st.binary(max_size=64))
def test_whatever_is_announced_is_checked(arrays, payload):
    try:
        read(frame_bytes({"arrays": arrays}, payload), Limits(array=1 << 20))
    except errors.WireError:
        pass
