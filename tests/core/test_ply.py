# SPDX-License-Identifier: GPL-3.0-or-later
"""PLY files: round trips, the bytes as an independent parser reads them, damaged and hostile files."""

from __future__ import annotations

import math
import struct
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from splatonym.core.errors import InvalidFile, InvalidInput
from splatonym.core.files import replacing
from splatonym.core.gaussians import GaussianArrays
from splatonym.core.ply import read_ply, write_ply

DONUT = Path(__file__).resolve().parents[3] / "shared/data/splats/donut_gshairlod.ply"
BASIC = ["x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2"]
BASIC += ["rot_0", "rot_1", "rot_2", "rot_3"]


def some(n: int, bands: int = 1, labelled: bool = True, seed: int = 0) -> GaussianArrays:
    draw = np.random.default_rng(seed)
    quats = draw.normal((0, 0, 0, 2.5), 1, (n, 4))
    gaussians = GaussianArrays(
        means=draw.normal(scale=100, size=(n, 3)).astype(np.float32),
        quats=(quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        scales=np.exp(draw.uniform(-12, 4, (n, 3))).astype(np.float32),
        opacities=draw.uniform(0, 1, n).astype(np.float32),
        sh=draw.normal(size=(n, bands, 3)).astype(np.float32),
    )
    if not labelled:
        return gaussians
    return replace(
        gaussians,
        label=draw.integers(0, 255, n, dtype=np.int32),
        instance=draw.integers(0, 2**31 - 1, n, dtype=np.int32),
        confidence=draw.uniform(0, 1, n).astype(np.float32),
    )


def parse(path: Path) -> tuple[list[tuple[str, str]], list[dict[str, float]]]:
    """A second reader, on struct alone: properties as (type, name), and one dictionary a vertex."""
    raw = path.read_bytes()
    header, body = raw.split(b"end_header\n", 1)
    lines = header.decode("ascii").splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    count = next(int(line.split()[2]) for line in lines if line.startswith("element vertex"))
    properties = [tuple(line.split()[1:]) for line in lines if line.startswith("property")]
    form = struct.Struct("<" + "".join({"float": "f", "int": "i"}[kind] for kind, _ in properties))
    assert len(body) == form.size * count
    names = [name for _, name in properties]
    return properties, [dict(zip(names, values, strict=True)) for values in form.iter_unpack(body)]  # type: ignore[return-value]


@given(st.integers(0, 40), st.sampled_from([1, 4, 9, 16]), st.booleans(), st.booleans(), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_round_trip(tmp_path_factory: Any, n: int, bands: int, labelled: bool, strict: bool, seed: int) -> None:
    path = tmp_path_factory.mktemp("ply") / "a.ply"
    before = some(n, bands, labelled, seed)
    write_ply(path, before, strict=strict)
    after = read_ply(path)
    for f in fields(GaussianArrays):
        a, b = getattr(before, f.name), getattr(after, f.name)
        if a is None or (strict and f.name in ("label", "instance", "confidence")):
            assert b is None
            continue
        assert a.dtype == b.dtype
        np.testing.assert_allclose(b, a, rtol=2e-6, atol=1e-6 if f.name in ("quats", "opacities") else 0)


def test_the_bytes_are_those_of_3dgs(tmp_path: Path) -> None:
    gaussians = some(3, 4)
    write_ply(tmp_path / "a.ply", gaussians)
    properties, vertices = parse(tmp_path / "a.ply")
    names = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", *(f"f_rest_{k}" for k in range(9))]
    names += ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    floats = [("float", name) for name in names]
    assert properties == [*floats, ("int", "label"), ("int", "instance"), ("float", "confidence")]
    for k, vertex in enumerate(vertices):
        assert [vertex[c] for c in "xyz"] == gaussians.means[k].tolist()
        assert [vertex[f"n{c}"] for c in "xyz"] == [0, 0, 0]
        assert [vertex[f"f_dc_{c}"] for c in range(3)] == gaussians.sh[k, 0].tolist()
        channel_after_channel = [float(gaussians.sh[k, 1 + band, c]) for c in range(3) for band in range(3)]
        assert [vertex[f"f_rest_{j}"] for j in range(9)] == channel_after_channel
        opacity = float(gaussians.opacities[k])
        assert vertex["opacity"] == pytest.approx(math.log(opacity / (1 - opacity)), rel=1e-5)
        assert [vertex[f"scale_{j}"] for j in range(3)] == pytest.approx([math.log(s) for s in gaussians.scales[k]], rel=1e-5)
        assert [vertex[f"rot_{j}"] for j in range(4)] == gaussians.quats[k].tolist()
        assert (vertex["label"], vertex["instance"]) == (gaussians.label[k], gaussians.instance[k])  # type: ignore[index]


def test_a_strict_file_has_floats_only(tmp_path: Path) -> None:
    write_ply(tmp_path / "a.ply", some(3), strict=True)
    properties, _ = parse(tmp_path / "a.ply")
    assert {kind for kind, _ in properties} == {"float"}
    assert not {"label", "instance", "confidence"} & {name for _, name in properties}


def test_opacities_at_the_ends_stay_finite(tmp_path: Path) -> None:
    write_ply(tmp_path / "a.ply", replace(some(2), opacities=np.array([0, 1], np.float32)))
    assert [vertex["opacity"] for vertex in parse(tmp_path / "a.ply")[1]] == [-15, 15]
    np.testing.assert_allclose(read_ply(tmp_path / "a.ply").opacities, [0, 1], atol=1e-6)


def write_raw(
    path: Path, names: list[str], rows: list[list[float]], *, order: str = "<", kinds: dict[str, str] | None = None
) -> Path:
    """A PLY written by hand."""
    kinds = kinds or {}
    words = {"f": "float", "d": "double", "i": "int", "I": "uint", "B": "uchar"}
    form = "little" if order == "<" else "big"
    header = f"ply\nformat binary_{form}_endian 1.0\nobj_info by hand\nelement vertex {len(rows)}\n"
    header += "".join(f"property {words[kinds.get(name, 'f')]} {name}\n" for name in names)
    body = b"".join(struct.pack(order + "".join(kinds.get(name, "f") for name in names), *row) for row in rows)
    path.write_bytes(header.encode() + b"end_header\n" + body)
    return path


GOOD = [1.0, 2.0, 3.0, 0.1, 0.2, 0.3, 0.0, -1.0, -2.0, -3.0, 2.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("order", ["<", ">"])
def test_other_byte_orders_types_and_property_orders(tmp_path: Path, order: str) -> None:
    names = [*reversed(BASIC), "label", "confidence", "something_else"]
    path = write_raw(
        tmp_path / "a.ply",
        names,
        [[*reversed(GOOD), 7, 1, 5.5]],
        order=order,
        kinds={"x": "d", "label": "B", "confidence": "d"},
    )
    gaussians = read_ply(path)
    np.testing.assert_allclose(gaussians.means, [[1, 2, 3]])
    np.testing.assert_allclose(gaussians.quats, [[1, 0, 0, 0]])  # normalised
    np.testing.assert_allclose(gaussians.scales, np.exp([[-1, -2, -3]]), rtol=1e-6)
    np.testing.assert_allclose(gaussians.opacities, [0.5])
    assert gaussians.label is not None and gaussians.label.tolist() == [7] and gaussians.instance is None


def test_extreme_but_legal_values(tmp_path: Path) -> None:
    rows = [list(GOOD), list(GOOD)]
    rows[0][6], rows[1][6] = -1000.0, math.inf  # opacities 0 and 1
    rows[0][7], rows[1][7] = -500.0, 500.0
    rows[0][10] = 0.0  # no rotation at all
    gaussians = read_ply(write_raw(tmp_path / "a.ply", BASIC, rows))
    assert gaussians.opacities.tolist() == [0, 1]
    assert (gaussians.scales > 0).all() and np.isfinite(gaussians.scales).all()
    assert gaussians.quats[0].tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("place", "value", "kinds"),
    [
        (0, math.nan, {}),
        (1, math.inf, {}),
        (2, 1e300, {"z": "d"}),
        (4, math.nan, {}),
        (6, math.nan, {}),
        (8, math.nan, {}),
        (11, math.nan, {}),
        (12, math.inf, {}),
        (14, -1, {"label": "i"}),
        (14, 2**32 - 1, {"label": "I"}),
        (15, math.nan, {}),
        (15, 2.0, {}),
    ],
)
def test_values_that_are_no_gaussian_name_the_file(tmp_path: Path, place: int, value: float, kinds: dict[str, str]) -> None:
    row = [*GOOD, 0, 1.0]
    row[place] = value
    path = write_raw(tmp_path / "odd.ply", [*BASIC, "label", "confidence"], [row], kinds={"label": "i", **kinds})
    with pytest.raises(InvalidFile, match=r"odd\.ply"):
        read_ply(path)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.ply"
    write_ply(path, some(3))
    whole = path.read_bytes()
    start = whole.index(b"end_header\n") + 11
    for length in [*range(0, start + 1, 7), start, start + 1, start + 84, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidFile) as caught:
            read_ply(path)
        assert caught.value.hint
    path.write_bytes(whole + b"rest")
    assert len(read_ply(path)) == 3  # what follows is another element's


HEAD = "ply\nformat binary_little_endian 1.0\n"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "plyx\nend_header\n",
        "ply\nend_header\n",
        "ply\nformat ascii 1.0\nelement vertex 0\nproperty float x\nend_header\n",
        "ply\r\nformat binary_little_endian 1.0\r\nelement vertex 0\r\nend_header\r\n",
        HEAD + "element vertex 5\nend_header\n",
        HEAD + "element vertex -5\nproperty float x\nend_header\n",
        HEAD + "element vertex 5.5\nproperty float x\nend_header\n",
        HEAD + "element vertex 99999999999\nproperty float x\nend_header\n",
        HEAD + f"element vertex {'9' * 5000}\nproperty float x\nend_header\n",
        HEAD + "element vertex ²\nproperty float x\nend_header\n",
        HEAD + "element vertex 1\nelement vertex 1\nproperty float x\nend_header\n",
        HEAD + "property float x\nelement vertex 1\nend_header\n",
        HEAD + "element vertex 1\nproperty list uchar int x\nend_header\n",
        HEAD + "element vertex 1\nproperty object x\nend_header\n",
        HEAD + "element vertex 1\nproperty float x\nproperty float x\nend_header\n",
        HEAD + "element face 1\nproperty float x\nend_header\n",
        HEAD + "element vertex 1\nproperty float x\ncomment end_header\n",
        HEAD + "comment " + "x" * 70000 + "\nelement vertex 0\nproperty float x\nend_header\n",
        HEAD + "element vertex 1\nproperty float x\nend_header\n",
        HEAD + "element vertex 0\n" + "".join(f"property float {n}\n" for n in BASIC[:-1]) + "end_header\n",
        HEAD + "element vertex 0\n" + "".join(f"property float {n}\n" for n in [*BASIC, "f_rest_0"]) + "end_header\n",
        HEAD + "element vertex 0\n" + "".join(f"property float {n}\n" for n in [*BASIC, *"_abcdefgh"]) + "end_header",
    ],
)
def test_hostile_headers(tmp_path: Path, header: str) -> None:
    (tmp_path / "hostile.ply").write_bytes(header.encode() + b"\0" * 64)
    with pytest.raises(InvalidFile, match=r"hostile\.ply"):
        read_ply(tmp_path / "hostile.ply")


@given(st.binary(max_size=300), st.integers(0, 400))
@settings(max_examples=80, deadline=None)
def test_spoiled_bytes_never_crash(tmp_path_factory: Any, noise: bytes, at: int) -> None:
    path = tmp_path_factory.mktemp("ply") / "a.ply"
    write_ply(path, some(2))
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + noise + whole[at + len(noise) :])
    try:
        read_ply(path).validate()
    except InvalidFile as error:
        assert error.message


def test_a_comment_may_speak_of_the_end(tmp_path: Path) -> None:
    write_raw(tmp_path / "a.ply", BASIC, [GOOD])
    raw = (tmp_path / "a.ply").read_bytes().replace(b"obj_info by hand\n", b"comment not yet end_header\n")
    (tmp_path / "a.ply").write_bytes(raw)
    assert len(read_ply(tmp_path / "a.ply")) == 1


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.ply", tmp_path):
        with pytest.raises(InvalidFile, match="cannot be read"):
            read_ply(path)


def test_writing_invalid_gaussians_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        write_ply(tmp_path / "a.ply", replace(some(2), scales=np.zeros((2, 3), np.float32)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
def test_an_interrupted_write_keeps_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as file:
        file.write(b"half of the n")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"] and path.read_text() == "old"


def test_what_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "full").touch()
    for path in (tmp_path / "none" / "a.txt", tmp_path / "folder"):
        with pytest.raises(InvalidFile, match="cannot be written"), replacing(path) as file:
            file.write(b"new")
    with pytest.raises(InvalidFile, match="No space left"), replacing(tmp_path / "a.txt") as file:
        raise OSError(28, "No space left on device")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_written_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as file:
        file.write(b"x")
    (tmp_path / "b").write_bytes(b"x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.skipif(not DONUT.exists(), reason="../shared/data is not here")
def test_a_file_from_elsewhere() -> None:
    gaussians = read_ply(DONUT)
    assert len(gaussians) == 45_624 and gaussians.sh_degree == 0 and gaussians.label is None
    assert np.ptp(gaussians.means, axis=0).max() < 10 * np.median(np.ptp(gaussians.means, axis=0))
    assert 1e-5 < float(np.median(gaussians.scales)) < 0.1
