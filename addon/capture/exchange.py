# SPDX-License-Identifier: GPL-3.0-or-later
"""What the two Blenders of a capture tell each other: files in one folder, each there whole or not at all.

copy.blend       the open file, as it was when the capture began       window → child
request.json     which scene, which shots, which settings              window → child
image_0.f32      pixels of a picture that was painted and not saved    window → child
view_0.tensors   a view, once it is rendered                           child → window
done.tensors     the things seen and the label set, at the end         child → window
failure.json     the error with its sentence, instead                  child → window
log.txt          all that the child prints
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ...core import tensors
from ...core.errors import InvalidFile, SplatonymError
from ...core.files import read_json, replacing, write_json
from ...core.protocol import pack_instances, pack_labels, pack_views, unpack_instances, unpack_labels, unpack_views
from ...core.views import View
from ...core.wire.errors import error_of
from .session import Captured, CaptureSession, CaptureSettings

COPY, REQUEST, DONE, FAILURE, LOG = "copy.blend", "request.json", "done.tensors", "failure.json", "log.txt"


@dataclass(frozen=True)
class ApartShot:
    """A shot by names: what a camera is called in the copy, and in which library, if it is linked.

    matrix, lens: what the camera is now, for a shot of the current frame. Opening the copy evaluates its animation anew, so a camera that was
    moved and not keyed would be elsewhere.
    """

    camera: str
    library: str
    frame: int
    name: str
    matrix: tuple[tuple[float, ...], ...] | None = None
    lens: dict[str, Any] | None = None


@dataclass(frozen=True)
class Painted:
    """A picture whose pixels are in no file: `file` holds them as float32, four a pixel."""

    name: str
    file: str
    width: int
    height: int
    is_float: bool


@dataclass(frozen=True)
class Request:
    """What the child is to do. scripts: whether the file's own scripts may run. devices: Cycles' GPUs, if they are used."""

    scene: str
    layer: str
    shots: tuple[ApartShot, ...]
    settings: CaptureSettings
    scripts: bool
    devices: tuple[str, ...] | None = None
    device_kind: str = "NONE"
    images: tuple[Painted, ...] = ()


def write_request(folder: Path, request: Request) -> None:
    words = asdict(replace(request, settings=replace(request.settings, labels=None)))  # type: ignore[arg-type]
    write_json(folder / REQUEST, words | {"labels": pack_labels(request.settings.labels)})


def read_request(folder: Path) -> Request:
    words = read_json(folder / REQUEST)
    labels = unpack_labels(words.pop("labels"))
    words["settings"] = CaptureSettings(**words["settings"] | {"labels": labels})
    words["shots"] = tuple(ApartShot(**shot) for shot in words["shots"])
    words["images"] = tuple(Painted(**image) for image in words["images"])
    return Request(**words)


def write_view(folder: Path, place: int, view: View) -> None:
    items, arrays = pack_views([view])
    _write(view_path(folder, place), arrays, items[0])


def read_view(folder: Path, place: int) -> View:
    arrays, item = _read(view_path(folder, place))
    return unpack_views([item], arrays)[0]


def view_path(folder: Path, place: int) -> Path:
    return folder / f"view_{place}.tensors"


def write_done(folder: Path, session: CaptureSession) -> None:
    _write(folder / DONE, pack_instances(session.instances.values()), pack_labels(session.labels))


def read_done(folder: Path, views: list[View]) -> Captured:
    arrays, words = _read(folder / DONE)
    return Captured(views, unpack_instances(arrays), unpack_labels(words))


def write_failure(folder: Path, error: SplatonymError) -> None:
    write_json(folder / FAILURE, {"kind": error.kind, "message": error.message, "hint": error.hint})


def read_failure(folder: Path) -> SplatonymError | None:
    """The error that the child told of, if it did."""
    if not (folder / FAILURE).exists():
        return None
    words = read_json(folder / FAILURE)
    return error_of(words["kind"], words["message"], words["hint"])


def log_end(folder: Path) -> str:
    """The last line that the child printed, for the hint of an error."""
    try:
        text = (folder / LOG).read_bytes()[-2000:].decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""


def _write(path: Path, arrays: dict[str, Any], words: dict[str, Any]) -> None:
    with replacing(path) as file:
        file.write(tensors.dumps(arrays, {"json": json.dumps(words)}))


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        block = path.read_bytes()
    except OSError as error:
        raise InvalidFile(f"'{path}' cannot be read: {error.strerror}.", "Capture again.") from error
    arrays, texts = tensors.loads(block, path.name)
    return arrays, json.loads(texts["json"])
