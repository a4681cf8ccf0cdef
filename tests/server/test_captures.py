# SPDX-License-Identifier: GPL-3.0-or-later
"""Captures: what is read from real files, and the sentence for each thing that can be wrong with them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from splatonym.core.cameras import pose_to_opengl
from splatonym.core.errors import InvalidFile, InvalidInput
from splatonym.server import pictures
from splatonym.server.captures import read_capture
from splatonym.server.job import Job
from splatonym.tests import synthetic

CAPTURES = Path(__file__).resolve().parents[3] / "shared/data/captures"


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.write_capture(tmp_path_factory.mktemp("room"), synthetic.views(3, (12, 9)))


def changed(path: Path, folder: Path, *, top: dict[str, Any] | None = None, **frame: Any) -> Path:
    """A copy of a capture with keys of the file or of its frame 1 changed; None takes a key away."""
    for old in path.parent.iterdir():
        (folder / old.name).write_bytes(old.read_bytes())
    content = json.loads(path.read_text())
    for target, changes in ((content, top or {}), (content["frames"][1], frame)):
        target.update(changes)
        for key in [key for key, value in changes.items() if value is None]:
            del target[key]
    (folder / path.name).write_text(json.dumps(content))
    return folder / path.name


def test_a_written_capture_is_read_back(room: Path) -> None:
    for path in (room, room.parent):
        capture = read_capture(path)
        assert capture.labels is not None and capture.labels.names[:5] == synthetic.CLASSES
        assert dict(capture.instances) == synthetic.INSTANCES
    for view, true in zip(capture.views(Job()), synthetic.views(3, (12, 9)), strict=True):
        view.validate()
        assert view.name.startswith("rgb_") and true.depth is not None and view.depth is not None
        np.testing.assert_array_equal(view.rgb, true.rgb)
        np.testing.assert_array_equal(view.index, true.index)  # type: ignore[arg-type]
        np.testing.assert_allclose(view.depth, true.depth, atol=5.1e-4)
        np.testing.assert_allclose(view.camera.K, true.camera.K)
        np.testing.assert_allclose(view.camera.T_world_camera, true.camera.T_world_camera, atol=1e-9)


def test_depth_and_instances_may_be_missing(room: Path, tmp_path: Path) -> None:
    path = changed(room, tmp_path, depth_file_path=None, instance_path=None)
    (tmp_path / "labels.json").unlink()
    capture = read_capture(path)
    view = capture.view(capture.frames[1])
    assert view.depth is None and view.index is None and capture.labels is None and not capture.instances


def test_a_frame_comes_before_the_file(room: Path, tmp_path: Path) -> None:
    path = changed(room, tmp_path, top={"fl_x": 5.0, "cx": 1.0, "k1": 0.0}, cx=None, cy=None, fl_y=None)
    own, other = read_capture(path).frames[1].camera, read_capture(path).frames[0].camera
    assert (own.fx, own.fy, own.cx, own.cy) == pytest.approx((7.2, 7.2, 1.0, 4.5))
    assert (other.fx, other.cx) == pytest.approx((7.2, 6.0))


def test_camera_angle_x(room: Path, tmp_path: Path) -> None:
    camera = read_capture(changed(room, tmp_path, fl_x=None, fl_y=None, camera_angle_x=math.pi / 2)).frames[1].camera
    assert camera.fx == camera.fy == pytest.approx(6.0)


def test_nerf_s_own_layout(tmp_path: Path) -> None:
    """No sizes, no endings, transparent pictures, poses with a scale."""
    pixels = np.zeros((4, 6, 4), np.uint8)
    pixels[:, :3] = (200, 100, 50, 255)
    pixels[:, 3] = (0, 0, 0, 51)
    (tmp_path / "train").mkdir()
    Image.fromarray(pixels).save(tmp_path / "train" / "r_0.png")
    matrix = np.diag([2.0, 2.0, 2.0, 1.0]).tolist()
    content = {"camera_angle_x": 0.7, "frames": [{"file_path": "./train/r_0", "transform_matrix": matrix}]}
    (tmp_path / "transforms_train.json").write_text(json.dumps(content))
    capture = read_capture(tmp_path / "transforms_train.json")
    view = capture.view(capture.frames[0])
    assert (view.camera.width, view.camera.height, view.camera.cx) == (6, 4, 3)
    assert view.camera.fx == pytest.approx(0.5 * 6 / math.tan(0.35))
    np.testing.assert_allclose(pose_to_opengl(view.camera.T_world_camera), np.eye(4))
    assert view.rgb[0, 0].tolist() == [200, 100, 50]
    assert view.rgb[0, 3].tolist() == [204, 204, 204]  # a fifth of black over white
    assert view.rgb[0, 5].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fl_x": None}, ["'fl_x' is missing"]),
        ({"transform_matrix": None}, ["'transform_matrix' is missing"]),
        ({"transform_matrix": np.eye(3).tolist()}, ["not 4x4"]),
        ({"transform_matrix": [[1, 2], [3]]}, ["not 4x4"]),
        ({"transform_matrix": np.full((4, 4), math.nan).tolist()}, ["not 4x4 finite"]),
        ({"transform_matrix": np.diag([1.0, 1.0, -1.0, 1.0]).tolist()}, ["rotation"]),
        ({"transform_matrix": np.zeros((4, 4)).tolist()}, ["degenerate"]),
        ({"fl_x": "wide"}, ["fl_x", "'wide'"]),
        ({"fl_x": -3}, ["positive", "-3"]),
        ({"fl_x": 10**400}, ["fl_x"]),
        ({"w": 12.5}, ["12.5"]),
        ({"w": 0}, ["0x9"]),
        ({"h": 1e9}, ["1000000000"]),
        ({"k1": 0.05}, ["distortion", "k1 = 0.05"]),
        ({"camera_model": "OPENCV_FISHEYE"}, ["OPENCV_FISHEYE"]),
        ({"fl_x": None, "camera_angle_x": 4.0}, ["camera_angle_x"]),
        ({"depth_file_path": 3}, ["depth_file_path"]),
    ],
)
def test_wrong_cameras_name_frame_and_file(room: Path, tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InvalidFile) as caught:
        read_capture(changed(room, tmp_path, **changes))
    for word in ("Frame 1", "'rgb_1.png'", str(tmp_path / "transforms.json"), *words):
        assert word in caught.value.message


@pytest.mark.parametrize(
    ("top", "word"),
    [
        ({"frames": []}, "no frames"),
        ({"frames": None}, "no frames"),
        ({"frames": {"a": 1}}, "no frames"),
        ({"frames": ["a"]}, "Frame 0"),
        ({"frames": [{"transform_matrix": []}]}, "file_path"),
        ({"depth_unit_scale_factor": 0}, "depth_unit_scale_factor"),
    ],
)
def test_wrong_files(room: Path, tmp_path: Path, top: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidFile, match=word):
        read_capture(changed(room, tmp_path, top=top))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "transforms.json", tmp_path / "no" / "where.json"):
        with pytest.raises(InvalidFile, match="No such file"):
            read_capture(path)


def fails(room: Path, tmp_path: Path, name: str, content: bytes | np.ndarray | None, *words: str, **changes: Any) -> None:
    """Frame 1 of a copy whose file `name` holds something else (None: is gone) raises a sentence with these words."""
    path = changed(room, tmp_path, **changes)
    if content is None:
        (tmp_path / name).unlink()
    elif isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        Image.fromarray(content).save(tmp_path / name)
    capture = read_capture(path)
    capture.view(capture.frames[0]).validate()
    with pytest.raises(InvalidFile) as caught:
        capture.view(capture.frames[1])
    for word in ("Frame 'rgb_1.png'", name, *words):
        assert word in caught.value.message, caught.value.message


PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("name", ["rgb_1.png", "depth_1.png", "instance_1.png"])
@pytest.mark.parametrize(
    ("content", "word"),
    [
        (None, "does not exist"),
        (b"", "not a picture"),
        (b"GIF89a but not really", ""),
        (PNG + b"\0\0\0\rIHDR" + b"\xff" * 17, ""),
        (np.zeros((9, 13, 3), np.uint8), "13x9 pixels, but its camera says 12x9"),
    ],
)
def test_pictures_that_cannot_be_used(room: Path, tmp_path: Path, name: str, content: Any, word: str) -> None:
    fails(room, tmp_path, name, content, word)


@pytest.mark.parametrize("name", ["rgb_1.png", "depth_1.png", "instance_1.png"])
def test_a_truncated_picture(room: Path, tmp_path: Path, name: str) -> None:
    whole = (room.parent / name).read_bytes()
    fails(room, tmp_path, name, whole[: len(whole) // 2])


def test_an_enormous_picture_is_not_decoded(room: Path, tmp_path: Path) -> None:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    for side in (12_000, 100_000):  # beyond Pillow's warning, and beyond its error
        size = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        folder = tmp_path / str(side)
        folder.mkdir()
        fails(room, folder, "rgb_1.png", PNG + size + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


def test_colour_is_no_depth_and_no_instance_map(room: Path, tmp_path: Path) -> None:
    for name, word in (("depth_1.png", "no depth map"), ("instance_1.png", "no instance map")):
        folder = tmp_path / name
        folder.mkdir()
        fails(room, folder, name, np.zeros((9, 12, 3), np.uint8), word)
    (tmp_path / "byte").mkdir()
    fails(room, tmp_path / "byte", "depth_1.png", np.zeros((9, 12), np.uint8), "no depth map")


def write_exr(path: Path, **channels: np.ndarray) -> None:
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {name.replace("_", "."): array for name, array in channels.items()}).write(str(path))


@pytest.mark.parametrize("channel", ["Z", "V", "Depth_V", "ViewLayer_Depth_Z", "R", "whatever"])
def test_exr_depth_is_in_scene_units(tmp_path: Path, channel: str) -> None:
    depth = np.linspace(0, 5, 12, dtype=np.float32).reshape(3, 4)
    depth[2, 3] = 1e10  # Blender's word for nothing
    write_exr(tmp_path / "d.exr", **{channel: depth})
    read = pictures.read_depth(tmp_path / "d.exr", (4, 3), unit=0.001)
    np.testing.assert_allclose(read, np.where(depth > 1e9, 0, depth))


def test_exr_half_and_companions(tmp_path: Path) -> None:
    depth = np.full((3, 4), 1.5, np.float16)
    write_exr(tmp_path / "d.exr", Z=depth, A=np.zeros((3, 4), np.float16))
    assert pictures.read_depth(tmp_path / "d.exr", (4, 3)).tolist() == depth.tolist()
    write_exr(tmp_path / "n.exr", A=depth, X=depth)
    with pytest.raises(InvalidFile, match="no depth channel"):
        pictures.read_depth(tmp_path / "n.exr", (4, 3))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.5])
def test_depth_that_is_no_depth(room: Path, tmp_path: Path, value: float) -> None:
    depth = np.ones((9, 12), np.float32)
    depth[3, 4:7] = value
    write_exr(tmp_path / "d.exr", Z=depth)
    content = (tmp_path / "d.exr").read_bytes()
    fails(room, tmp_path, "d.exr", content, "3 depths that are negative or not numbers", depth_file_path="d.exr")


def test_exr_files_that_cannot_be_used(room: Path, tmp_path: Path) -> None:
    write_exr(tmp_path / "d.exr", Z=np.ones((9, 12), np.float32))
    whole = (tmp_path / "d.exr").read_bytes()
    write_exr(tmp_path / "d.exr", Z=np.ones((9, 11), np.float32))
    cases = [
        (b"", ""),
        (whole[:100], ""),
        (whole[:-20], ""),
        ((tmp_path / "d.exr").read_bytes(), "11x9 pixels"),
        (None, "exist"),
    ]
    (tmp_path / "d.exr").write_bytes(whole)
    for number, (content, word) in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "d.exr").write_bytes(whole)
        fails(room, folder, "d.exr", content, word, depth_file_path="d.exr")


def test_other_depth_units(room: Path, tmp_path: Path) -> None:
    capture = read_capture(changed(room, tmp_path, top={"depth_unit_scale_factor": 0.0001}))
    true = synthetic.views(3, (12, 9))[0].depth
    depth = capture.view(capture.frames[0]).depth
    assert true is not None and depth is not None
    np.testing.assert_allclose(depth, true / 10, atol=1e-4)


@pytest.mark.parametrize(
    ("pixels", "first"),
    [
        (np.full((3, 4), 77, np.uint8), [77, 77, 77]),
        (np.full((3, 4), 40_000, np.uint16), [156, 156, 156]),
        (np.full((3, 4, 2), (90, 255), np.uint8), [90, 90, 90]),
        (np.full((3, 4, 4), (10, 20, 30, 255), np.uint8), [10, 20, 30]),
    ],
)
def test_every_kind_of_colour_picture(tmp_path: Path, pixels: np.ndarray, first: list[int]) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png")
    rgb = pictures.read_rgb(tmp_path / "a.png", (4, 3))
    assert rgb.shape == (3, 4, 3) and rgb.dtype == np.uint8 and rgb[0, 0].tolist() == first


def test_palettes_and_bytes(tmp_path: Path) -> None:
    numbers = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = Image.fromarray(numbers)
    image.save(tmp_path / "l.png")
    image.putpalette([*range(250, 250 - 36, -1)] * 7)
    image.save(tmp_path / "p.png")
    for name in ("l.png", "p.png"):
        np.testing.assert_array_equal(pictures.read_index(tmp_path / name, (4, 3)), numbers)
    assert pictures.read_rgb(tmp_path / "p.png", (4, 3))[0, 0].tolist() == [250, 249, 248]


def test_written_depth_is_rounded_and_bounded() -> None:
    depth = np.array([[0.0, 0.0004, 1.2346, 65.535, 65.6, np.nan, np.inf, -1.0]], np.float32)
    assert pictures.depth_to_millimetres(depth).tolist() == [[0, 0, 1235, 65535, 0, 0, 0, 0]]


def test_frames_by_place_and_name(room: Path) -> None:
    capture = read_capture(room)
    for wanted in (["2", "0"], ["rgb_2.png", "rgb_0"], ["rgb_2", "0", "2"]):
        assert [frame.name for frame in capture.pick(wanted).frames] == ["rgb_2.png", "rgb_0.png"]
    for word in ("3", "-1", "rgb_9", ""):
        with pytest.raises(InvalidInput, match=f"no frame '{word}'") as caught:
            capture.pick([word])
        assert "0 to 2" in caught.value.hint


def test_ambiguous_names(room: Path, tmp_path: Path) -> None:
    path = changed(room, tmp_path, file_path="other/rgb_0.jpg")
    capture = read_capture(path)
    assert capture.pick(["rgb_0.png"]).frames == (capture.frames[0],)
    with pytest.raises(InvalidInput, match="2 frames"):
        capture.pick(["rgb_0"])
    with pytest.raises(InvalidInput, match=r"'rgb_0.png' and 'other/rgb_0.jpg'"):
        capture.stems()
    assert read_capture(room).stems() == ["rgb_0", "rgb_1", "rgb_2"]


@pytest.mark.skipif(not CAPTURES.exists(), reason="../shared/data is not here")
@pytest.mark.parametrize(("name", "count", "width"), [("iclnuim_livingroom", 24, 640), ("synthetic_room8", 8, 434)])
def test_real_captures(name: str, count: int, width: int) -> None:
    capture = read_capture(CAPTURES / name)
    assert len(capture.frames) == count and capture.frames[0].camera.width == width
    view = capture.view(capture.frames[-1])
    view.validate()
    assert view.depth is not None and 0.5 < float(np.median(view.depth[view.depth > 0])) < 10
