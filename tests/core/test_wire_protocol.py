# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras, views, labels and scenes come back from the wire as they went, and wrong ones are named."""

import io
import json

import numpy as np
import pytest
from splatonym.core import protocol
from splatonym.core.cameras import Camera, intrinsics
from splatonym.core.errors import InvalidInput
from splatonym.core.gaussians import GaussianArrays
from splatonym.core.labels import LabelMap
from splatonym.core.scene import SemanticScene
from splatonym.core.views import Instance, View
from splatonym.core.wire.framing import FrameReader
from splatonym.core.wire.messages import Request, pack, read_message

POSE = np.eye(4)
POSE[:3, 3] = [1 / 3, np.pi, -1e-9]
CAMERA = Camera(4, 3, intrinsics(5.1, 5.2, 2.03, 1.49), POSE)


def travelled(params, arrays):
    """What is left of it after the wire."""
    pipe = io.BytesIO()
    pack(Request(1, "x", params, arrays)).write_to(pipe)
    pipe.seek(0)
    message = read_message(FrameReader(pipe))
    return message.params, message.arrays


def a_view(name="Kamera α", depth=True, index=True):
    rng = np.random.default_rng(1)
    return View(
        name,
        CAMERA,
        rng.integers(0, 255, (3, 4, 3), np.uint8),
        rng.random((3, 4), np.float32) if depth else None,
        rng.integers(0, 9, (3, 4), np.int32) if index else None,
    )


def a_scene(n=5, labelled=True):
    rng = np.random.default_rng(2)
    quats = rng.normal(size=(n, 4)).astype(np.float32)
    quats /= np.linalg.norm(quats, axis=1, keepdims=True)
    gaussians = GaussianArrays(
        rng.normal(size=(n, 3)).astype(np.float32),
        quats,
        rng.random((n, 3), np.float32) + np.float32(0.1),
        rng.random(n, np.float32),
        rng.normal(size=(n, 4, 3)).astype(np.float32),
        rng.integers(0, 2, n, np.int32) if labelled else None,
        rng.integers(0, 3, n, np.int32) if labelled else None,
        rng.random(n, np.float32) if labelled else None,
    )
    instances = {1: Instance(1, 'Stuhl "links"\n', "chair"), 2: Instance(2, "tafel", "table")} if labelled else {}
    return SemanticScene("Wohnzimmer", gaussians, LabelMap(("chair", "table")), instances)


def same_scene(a, b):
    assert (a.name, a.labels.names, a.instances) == (b.name, b.labels.names, b.instances)
    for name, array in vars(a.gaussians).items():
        other = getattr(b.gaussians, name)
        assert (array is None) == (other is None)
        if array is not None:
            np.testing.assert_array_equal(array, other)


def test_a_camera_comes_back_to_the_last_bit():
    back = protocol.unpack_camera(json.loads(json.dumps(protocol.pack_camera(CAMERA))))
    np.testing.assert_array_equal(back.K, CAMERA.K)
    np.testing.assert_array_equal(back.T_world_camera, CAMERA.T_world_camera)
    assert (back.width, back.height, back.projection) == (4, 3, "perspective")


@pytest.mark.parametrize(
    ("change", "word"),
    [({"width": "4"}, "width"), ({"K": [[1, 2], [3, 4]]}, "K"), ({"K": [["a"] * 3] * 3}, "K"), ({"projection": "fish"}, "fish"),
     ({"height": None}, "height"), ({"T_world_camera": [[0.0] * 4] * 4}, "pose"), ({"K": [[1e999] * 3] * 3}, "finite")],
)  # fmt: skip
def test_a_wrong_camera_is_named(change, word):
    with pytest.raises(InvalidInput, match=word):
        protocol.unpack_camera({**protocol.pack_camera(CAMERA), **change})


def test_predictions_are_asked_for_in_full():
    fields = protocol.PredictFields(
        name="Küche", views=[a_view(), a_view("2", depth=False), a_view("3", index=False)], labels=LabelMap(("chair", "table")),
        instances={3: Instance(3, "Stuhl", "chair")}, options={"voxel": 0.5}, scene="kuche-012345",
    )  # fmt: skip
    back = protocol.unpack_predict(*travelled(*protocol.pack_predict(fields)))
    assert (back.name, back.labels.names, back.instances, back.options, back.scene) == (
        "Küche", fields.labels.names, fields.instances, {"voxel": 0.5}, "kuche-012345",
    )  # fmt: skip
    for view, other in zip(fields.views, back.views, strict=True):
        assert view.name == other.name
        for picture in ("rgb", "depth", "index"):
            a, b = getattr(view, picture), getattr(other, picture)
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("view.0.depth", np.zeros((3, 4)), r"view\.0\.depth.*float64.*not float32 \[3, 4\]"),
        ("view.0.rgb", np.zeros((4, 3, 3), np.uint8), r"view\.0\.rgb.*\[4, 3, 3\].*not uint8 \[3, 4, 3\]"),
        ("view.0.index", None, r"view\.0\.index.*missing"),
        ("view.0.depth", np.full((3, 4), -1, np.float32), "negative"),
        ("instances", np.frombuffer(b"[[1, 2", np.uint8), "instances"),
        ("instances", np.frombuffer(b'[["1", "a", "b"]]', np.uint8), "instances"),
        ("instances", np.frombuffer(b"{}", np.uint8), None),
    ],
)
def test_wrong_arrays_are_named(name, array, words):
    params, arrays = protocol.pack_predict(protocol.PredictFields("x", [a_view()], LabelMap(()), {}))
    arrays = {k: v for k, v in {**arrays, name: array}.items() if v is not None}
    if words is None:
        assert protocol.unpack_predict(params, arrays).instances == {}
        return
    with pytest.raises(InvalidInput, match=words):
        protocol.unpack_predict(params, arrays)


@pytest.mark.parametrize("change", [{"views": 3}, {"views": [3]}, {"labels": [1]}, {"name": None}, {"options": []}])
def test_wrong_fields_are_named(change):
    params, arrays = protocol.pack_predict(protocol.PredictFields("x", [a_view()], LabelMap(()), {}))
    with pytest.raises(InvalidInput, match=next(iter(change))):
        protocol.unpack_predict({**params, **change}, arrays)


@pytest.mark.parametrize("scene", [a_scene(), a_scene(0), a_scene(labelled=False)])
def test_a_scene_comes_back(scene):
    same_scene(scene, protocol.unpack_scene(*travelled(*protocol.pack_scene(scene))))


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("scene.means", np.zeros((5, 2), np.float32)),
        ("scene.scales", np.ones((4, 3), np.float32)),
        ("scene.label", np.full(5, 9, np.int32)),
        ("scene.label", np.zeros(5, np.float32)),
        ("scene.quats", np.zeros((5, 4), np.float32)),
    ],
)
def test_a_wrong_scene_is_refused(name, array):
    fields, arrays = protocol.pack_scene(a_scene())
    with pytest.raises(InvalidInput):
        protocol.unpack_scene(fields, {**arrays, name: array})


def test_many_instances_fit():
    """A header is bounded, the number of objects in a .blend is not."""
    many = {k: Instance(k, f"Object.{k:06}", "chair") for k in range(1, 100_001)}
    params, arrays = protocol.pack_predict(protocol.PredictFields("x", [a_view()], LabelMap(("chair",)), many))
    assert protocol.unpack_predict(*travelled(params, arrays)).instances == many


def test_pictures_come_back():
    made = protocol.Pictures(
        *(np.zeros((3, 4, *more), dtype) for dtype, more in [("u1", (3,)), ("f4", ()), ("f4", ()), ("u1", ()), ("i4", ())])
    )
    (back,) = protocol.unpack_pictures([CAMERA], protocol.pack_pictures(0, made))
    assert back.rgb.shape == (3, 4, 3) and back.instances.dtype == np.int32
    with pytest.raises(InvalidInput, match=r"render\.0\.rgb"):
        protocol.unpack_pictures([CAMERA.resized(8, 8)], protocol.pack_pictures(0, made))
