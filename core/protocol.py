# SPDX-License-Identifier: GPL-3.0-or-later
"""How cameras, views, labels and scenes travel: as JSON fields of a message, and arrays beside them.

Each thing has a `pack_...` and an `unpack_...`, which checks what it reads: a wrong field or array raises InvalidInput that
names it, with the type and shape expected. Arrays are called after their place: "view.0.rgb", "scene.means". The table of
instances travels as JSON in an array of bytes, since a header is bounded and a .blend may hold any number of objects.

server/verbs.py says for each verb of the server what it takes and gives.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .cameras import Camera
from .codebook import PAIRS, Codebook
from .errors import InvalidInput
from .gaussians import GaussianArrays
from .labels import LabelMap
from .scene import SemanticScene
from .views import Instance, View

PROTOCOL_VERSION = 1
"""The version of the verbs and of what is below; `hello` compares it."""

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
Fields = Mapping[str, Any]
T = TypeVar("T")

_JSON_NAMES: dict[type, str] = {
    str: "a text", int: "a whole number", float: "a number", bool: "true or false", dict: "an object", list: "a list",
}  # fmt: skip
_REQUIRED: Any = object()


def take(source: Fields, name: str, kind: type[T], default: T = _REQUIRED, *, where: str = "the request") -> T:
    """The field `name` of a JSON object, checked to be of `kind`; one that is missing is an error unless it has a default."""
    value = source.get(name, default)
    if value is _REQUIRED:
        raise InvalidInput(f"The field '{name}' of {where} is missing.", f"It is {_JSON_NAMES[kind]}.")
    if kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53:
        value = float(value)
    if value is not default and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        raise InvalidInput(f"The field '{name}' of {where} is {type(value).__name__}, not {_JSON_NAMES[kind]}.")
    return value


def take_texts(source: Fields, name: str, *, where: str = "the request") -> list[str]:
    """As `take`, for a list of texts."""
    value = take(source, name, list, where=where)
    if not all(isinstance(item, str) for item in value):
        raise InvalidInput(f"The field '{name}' of {where} is not a list of texts.")
    return value


def take_objects(source: Fields, name: str, *, where: str = "the request") -> list[Fields]:
    """As `take`, for a list of JSON objects."""
    value = take(source, name, list, where=where)
    if not all(isinstance(item, dict) for item in value):
        raise InvalidInput(f"The field '{name}' of {where} is not a list of objects.")
    return value


def expect(arrays: Arrays, name: str, dtype: npt.DTypeLike, shape: tuple[int | None, ...]) -> Array:
    """The array `name`, checked to be of this type and shape (None: any length)."""
    wanted = f"{np.dtype(dtype)} [{', '.join('any' if side is None else str(side) for side in shape)}]"
    array = arrays.get(name)
    if array is None:
        raise InvalidInput(f"The array '{name}' is missing.", f"It is {wanted}.")
    fits = len(array.shape) == len(shape) and all(want in (None, side) for want, side in zip(shape, array.shape, strict=True))
    if array.dtype != dtype or not fits:
        raise InvalidInput(f"The array '{name}' is {array.dtype} {list(array.shape)}, not {wanted}.")
    return array


# Cameras and views


def pack_camera(camera: Camera) -> dict[str, Any]:
    """A camera as JSON; float64 survives it to the last bit."""
    return {
        "width": camera.width,
        "height": camera.height,
        "K": camera.K.tolist(),
        "T_world_camera": camera.T_world_camera.tolist(),
        "projection": camera.projection,
    }


def unpack_camera(source: Fields, *, where: str = "a camera") -> Camera:
    """The camera of `pack_camera`; Camera itself checks what the numbers mean."""
    return Camera(
        take(source, "width", int, where=where),
        take(source, "height", int, where=where),
        _matrix(source, "K", 3, where),
        _matrix(source, "T_world_camera", 4, where),
        take(source, "projection", str, where=where),  # type: ignore[arg-type]  # Camera refuses others
    )


def _matrix(source: Fields, name: str, side: int, where: str) -> npt.NDArray[np.float64]:
    rows = take(source, name, list, where=where)
    square = len(rows) == side and all(isinstance(row, list) and len(row) == side for row in rows)
    if not square or not all(isinstance(v, (int, float)) and abs(v) < 1e300 for row in rows for v in row):
        raise InvalidInput(f"The field '{name}' of {where} is not a matrix of {side}x{side} finite numbers.")
    return np.array(rows, dtype=np.float64)


def pack_views(views: Sequence[View]) -> tuple[list[dict[str, Any]], dict[str, Array]]:
    """Views as a JSON list and arrays: "view.0.rgb", and where there are any "view.0.depth" and "view.0.index"."""
    items: list[dict[str, Any]] = []
    arrays: dict[str, Array] = {}
    for place, view in enumerate(views):
        pictures = {"rgb": view.rgb, "depth": view.depth, "index": view.index}
        there = {key: array for key, array in pictures.items() if array is not None}
        items.append({"name": view.name, "camera": pack_camera(view.camera), "pictures": list(there)})
        arrays |= {f"view.{place}.{key}": array for key, array in there.items()}
    return items, arrays


def unpack_views(items: Sequence[Fields], arrays: Arrays) -> list[View]:
    """The views of `pack_views`."""
    return [_unpack_view(place, item, arrays) for place, item in enumerate(items)]


def _unpack_view(place: int, item: Fields, arrays: Arrays) -> View:
    name = take(item, "name", str, where=f"view {place}")
    where = f"view '{name}'"
    camera = unpack_camera(take(item, "camera", dict, where=where), where=f"the camera of {where}")
    pictures = take_texts(item, "pictures", where=where)
    size = (camera.height, camera.width)
    view = View(
        name=name,
        camera=camera,
        rgb=expect(arrays, f"view.{place}.rgb", np.uint8, (*size, 3)),
        depth=expect(arrays, f"view.{place}.depth", np.float32, size) if "depth" in pictures else None,
        index=expect(arrays, f"view.{place}.index", np.int32, size) if "index" in pictures else None,
    )
    view.validate()
    return view


# Labels, instances, scenes


def pack_instances(instances: Iterable[Instance], name: str = "instances") -> dict[str, Array]:
    """The table of instances as one array of UTF-8 JSON: [[number, name, class], ...]."""
    text = json.dumps([[i.id, i.name, i.class_name] for i in instances])
    return {name: np.frombuffer(text.encode("ascii"), dtype=np.uint8)}


def unpack_instances(arrays: Arrays, name: str = "instances") -> dict[int, Instance]:
    """The instances of `pack_instances`, by number."""
    try:
        rows = json.loads(expect(arrays, name, np.uint8, (None,)).tobytes())
        instances = [Instance(number, text, class_name) for number, text, class_name in rows]
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidInput(f"The table '{name}' is not a list of number, name and class: {error}.") from error
    for i in instances:
        whole = isinstance(i.id, int) and not isinstance(i.id, bool) and 0 < i.id < 1 << 31
        if not whole or not isinstance(i.name, str) or not isinstance(i.class_name, str):
            raise InvalidInput(
                f"The table '{name}' has the entry {str(i)[:80]}.", "Numbers are whole and above 0, the rest is text."
            )
    return {i.id: i for i in instances}


def pack_scene(scene: SemanticScene, prefix: str = "scene") -> tuple[dict[str, Any], dict[str, Array]]:
    """A scene as JSON {"name", "labels", "synonyms", "arrays"} and arrays "scene.means", ..., "scene.instances", "scene.codebook"."""
    g = scene.gaussians
    there = {f.name: getattr(g, f.name) for f in fields(g) if getattr(g, f.name) is not None}
    arrays = {f"{prefix}.{name}": array for name, array in there.items()}
    arrays |= pack_instances(scene.instances.values(), f"{prefix}.instances")
    if scene.codebook is not None:
        arrays[f"{prefix}.codebook"] = np.frombuffer(scene.codebook.to_bytes(), np.uint8)
    return {"name": scene.name, **pack_labels(scene.labels), "arrays": list(there)}, arrays


def pack_labels(labels: LabelMap) -> dict[str, Any]:
    """A label set as JSON {"labels", "synonyms"}."""
    return {"labels": list(labels.names), "synonyms": {name: list(words) for name, words in labels.synonyms.items()}}


def unpack_labels(source: Fields, *, where: str = "the request") -> LabelMap:
    """The label set of `pack_labels`."""
    synonyms = take(source, "synonyms", dict, {}, where=where)
    words = {name: tuple(take_texts(synonyms, name, where=f"the synonyms of {where}")) for name in synonyms}
    return LabelMap(tuple(take_texts(source, "labels", where=where)), words)


def unpack_scene(source: Fields, arrays: Arrays, prefix: str = "scene") -> SemanticScene:
    """The scene of `pack_scene`."""
    there = take_texts(source, "arrays", where="a scene")
    n = len(expect(arrays, f"{prefix}.means", np.float32, (None, 3)))

    def optional(name: str, dtype: npt.DTypeLike, *more: int) -> Array | None:
        return expect(arrays, f"{prefix}.{name}", dtype, (n, *more)) if name in there else None

    gaussians = GaussianArrays(
        means=arrays[f"{prefix}.means"],
        quats=expect(arrays, f"{prefix}.quats", np.float32, (n, 4)),
        scales=expect(arrays, f"{prefix}.scales", np.float32, (n, 3)),
        opacities=expect(arrays, f"{prefix}.opacities", np.float32, (n,)),
        sh=expect(arrays, f"{prefix}.sh", np.float32, (n, None, 3)),
        label=optional("label", np.int32),
        instance=optional("instance", np.int32),
        confidence=optional("confidence", np.float32),
        words=optional("words", np.uint8, PAIRS),
        shares=optional("shares", np.uint8, PAIRS),
        taught=optional("taught", np.int32),
    )
    gaussians.validate()
    labels = unpack_labels(source, where="a scene")
    label = gaussians.label
    if label is not None and n and label.max() >= len(labels):
        raise InvalidInput(f"The array '{prefix}.label' holds {label.max()}, but there are {len(labels)} labels.")
    instances = unpack_instances(arrays, f"{prefix}.instances")
    codebook = None
    if f"{prefix}.codebook" in arrays:
        block = expect(arrays, f"{prefix}.codebook", np.uint8, (None,)).tobytes()
        codebook = Codebook.from_bytes(block, f"The array '{prefix}.codebook'")
    scene = SemanticScene(take(source, "name", str, where="a scene"), gaussians, labels, instances, codebook)
    scene.validate_words()
    return scene


_NAMING = ("label", "instance", "confidence", "words", "shares", "taught")


def pack_naming(scene: SemanticScene) -> tuple[dict[str, Any], dict[str, Array]]:
    """What naming changes of a scene: JSON {"labels", "synonyms", "arrays"} and arrays "scene.label", ..., "scene.instances"."""
    fields, arrays = pack_scene(scene)
    sent = {f"scene.{name}" for name in (*_NAMING, "instances", "codebook")}
    told = {**pack_labels(scene.labels), "arrays": [name for name in fields["arrays"] if name in _NAMING]}
    return told, {name: array for name, array in arrays.items() if name in sent}


def unpack_naming(scene: SemanticScene, source: Fields, arrays: Arrays) -> SemanticScene:
    """The scene with what `pack_naming` sent of the same scene under other names."""
    fields, own = pack_scene(replace(scene, codebook=None))
    there = [*(name for name in fields["arrays"] if name not in _NAMING), *take_texts(source, "arrays")]
    mixed = {name: array for name, array in own.items() if name.removeprefix("scene.") not in _NAMING} | dict(arrays)
    told = {"name": scene.name, "arrays": there, "labels": source.get("labels"), "synonyms": source.get("synonyms", {})}
    return unpack_scene(told, mixed)


# Requests and results of the verbs that carry arrays


@dataclass(frozen=True)
class PredictFields:
    """What `predict` is asked for; `scene` is the id of a scene that the new one replaces, or ""."""

    name: str
    views: Sequence[View]
    labels: LabelMap
    instances: Mapping[int, Instance]
    predictor: str = "depth-pass"
    label_source: str = "scene"
    options: Mapping[str, Any] | None = None
    scene: str = ""
    label_options: Mapping[str, Any] | None = None


def pack_predict(fields: PredictFields) -> tuple[dict[str, Any], dict[str, Array]]:
    """Parameters and arrays of a `predict` request."""
    views, arrays = pack_views(fields.views)
    params = {
        "name": fields.name,
        "predictor": fields.predictor,
        "label_source": fields.label_source,
        "options": dict(fields.options or {}),
        "label_options": dict(fields.label_options or {}),
        **pack_labels(fields.labels),
        "views": views,
        "scene": fields.scene,
    }
    return params, arrays | pack_instances(fields.instances.values())


def unpack_predict(params: Fields, arrays: Arrays) -> PredictFields:
    """The other end of `pack_predict`."""
    return PredictFields(
        name=take(params, "name", str),
        views=unpack_views(take_objects(params, "views"), arrays),
        labels=unpack_labels(params),
        instances=unpack_instances(arrays),
        predictor=take(params, "predictor", str, "depth-pass"),
        label_source=take(params, "label_source", str, "scene"),
        options=take(params, "options", dict, {}),
        scene=take(params, "scene", str, ""),
        label_options=take(params, "label_options", dict, {}),
    )


@dataclass(frozen=True)
class Pictures:
    """What a camera sees of a scene.

    rgb: [H, W, 3] uint8 sRGB. depth: [H, W] float32 planar depth, 0 for nothing. alpha: [H, W] float32 in 0..1.
    classes: [H, W] uint8 label id, 255 for nothing. instances: [H, W] int32, 0 for nothing.
    """

    rgb: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    alpha: npt.NDArray[np.float32]
    classes: npt.NDArray[np.uint8]
    instances: npt.NDArray[np.int32]


_PICTURES: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "rgb": (np.uint8, (3,)),
    "depth": (np.float32, ()),
    "alpha": (np.float32, ()),
    "classes": (np.uint8, ()),
    "instances": (np.int32, ()),
}


def pack_pictures(place: int, pictures: Any) -> dict[str, Array]:
    """The arrays "render.0.rgb", ... of Pictures, or of anything with the same attributes."""
    return {f"render.{place}.{key}": getattr(pictures, key) for key in _PICTURES}


def unpack_pictures(cameras: Sequence[Camera], arrays: Arrays) -> list[Pictures]:
    """What `render` gave for each of the cameras."""
    return [
        Pictures(
            **{
                key: expect(arrays, f"render.{place}.{key}", dtype, (camera.height, camera.width, *channels))
                for key, (dtype, channels) in _PICTURES.items()
            }
        )
        for place, camera in enumerate(cameras)
    ]


# Looking at a scene while the view moves


SHOWS = ("COLOUR", "CLASS", "INSTANCE", "DEPTH", "CONFIDENCE", "ANSWER")
"""What `look` can show."""
EVERY_MOST = 16
_RED, _GREEN = 1 << 16, 1 << 8


@dataclass(frozen=True)
class LookFields:
    """What `look` is asked for.

    near, far: planar depth between which Gaussians are drawn. exact: classes and instances as what shows most in a pixel; else their colours
    are blended, which is faster. every: draw only every second Gaussian, say, and larger, which is faster still.
    """

    scene: str
    camera: Camera
    show: str = "COLOUR"
    exact: bool = False
    near: float = 0.01
    far: float = 1e10
    every: int = 1


def pack_look(fields: LookFields) -> dict[str, Any]:
    """Parameters of a `look` request."""
    return {
        "scene": fields.scene,
        "camera": pack_camera(fields.camera),
        "show": fields.show,
        "exact": fields.exact,
        "near": fields.near,
        "far": fields.far,
        "every": fields.every,
    }


def unpack_look(params: Fields) -> LookFields:
    """The other end of `pack_look`."""
    show = take(params, "show", str, "COLOUR")
    if show not in SHOWS:
        raise InvalidInput(f"A look cannot show '{show[:80]}'.", f"Choose one of {', '.join(SHOWS)}.")
    every = take(params, "every", int, 1)
    if not 1 <= every <= EVERY_MOST:
        raise InvalidInput(f"A look cannot draw every {every}th Gaussian.", f"Draw every 1st to {EVERY_MOST}th.")
    return LookFields(
        every=every,
        scene=take(params, "scene", str),
        camera=unpack_camera(take(params, "camera", dict)),
        show=show,
        exact=take(params, "exact", bool, False),
        near=take(params, "near", float, 0.01),
        far=take(params, "far", float, 1e10),
    )


def pack_texels(rgb: npt.NDArray[Any], depth: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Colours [H, W, 3], whole numbers 0..255, and depth [H, W] -> [H, W, 2] float32: red * 65536 + green * 256 + blue, and depth.

    Every colour is a whole number that float32 holds exactly, so that a viewport takes the array as its texture, as it came.
    """
    texels = np.empty((*depth.shape, 2), np.float32)
    texels[..., 0] = rgb.astype(np.float32, copy=False) @ np.array([_RED, _GREEN, 1], np.float32)
    texels[..., 1] = depth
    return texels


def unpack_texels(texels: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """The other end of `pack_texels`: rgb [H, W, 3] uint8 and depth [H, W]."""
    number = texels[..., 0].astype(np.int32)
    rgb = np.stack([number // _RED, number // _GREEN % 256, number % 256], -1).astype(np.uint8)
    return rgb, texels[..., 1]
