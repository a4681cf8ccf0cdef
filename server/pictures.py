# SPDX-License-Identifier: GPL-3.0-or-later
"""Picture files in and out: colour, depth and instance numbers.

Convention: arrays are [H, W] or [H, W, 3], row 0 at the top. A file's size is read from its header and compared with what the
camera says before a pixel is decoded. Colour is 8-bit sRGB; a picture with transparency is laid over white, as NeRF's
synthetic scenes expect. Depth is planar: 16-bit PNG times a unit (millimetres unless told otherwise), or EXR in scene units;
0 = none. What is written appears only once it is whole.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from ..core.errors import InvalidFile, InvalidInput, NotAvailable
from ..core.files import replacing
from ..core.heat import heat_colours

if TYPE_CHECKING:
    from .rendering import RenderedView

Size = tuple[int, int]
"""Width and height in pixels."""
MILLIMETRES = 0.001
FAR = 1e9
"""EXR depths from here on count as none: Blender writes 1e10 where a ray hits nothing."""
_DEPTH_CHANNELS = ("Z", "V", "Y", "R", "RGB", "RGBA")


def picture_size(path: Path) -> Size:
    """Width and height of a picture file, from its header."""
    with _opened(path, None) as image:
        return image.size


def read_rgb(path: Path, size: Size) -> npt.NDArray[np.uint8]:
    """[H, W, 3] uint8 sRGB of a PNG, JPEG or other picture of this size; 16-bit channels are rounded to 8."""
    with _opened(path, size) as image:
        if image.mode == "F":
            raise InvalidFile(f"'{path}' holds floating-point colour.", "Save it as 8-bit PNG or JPEG.")
        if image.mode.startswith("I"):
            grey = np.asarray(image).astype(np.float64) * (255 / 65535)
            return np.repeat(np.clip(np.rint(grey), 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            return np.array(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"))
        return np.array(image.convert("RGB"))


def read_depth(path: Path, size: Size, unit: float = MILLIMETRES) -> npt.NDArray[np.float32]:
    """[H, W] float32 planar depth in scene units; `unit` is what one step of a 16-bit PNG stands for."""
    if path.suffix.lower() == ".exr":
        return _read_exr_depth(path, size)
    with _opened(path, size) as image:
        if not image.mode.startswith("I"):
            raise InvalidFile(f"'{path}' is no depth map: its pixels are {image.mode}.", "Use a 16-bit grey PNG, or EXR.")
        return (np.asarray(image).astype(np.float64) * unit).astype(np.float32)


def read_index(path: Path, size: Size) -> npt.NDArray[np.int32]:
    """[H, W] int32 instance numbers of an 8-bit or 16-bit PNG; of a palette picture, the places in the palette."""
    with _opened(path, size) as image:
        if image.mode not in ("L", "P") and not image.mode.startswith("I"):
            raise InvalidFile(f"'{path}' is no instance map: its pixels are {image.mode}.", "Use an 8-bit or 16-bit grey PNG.")
        return np.asarray(image).astype(np.int32)


def write_png(path: Path, pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> None:
    """Write [H, W, 3] uint8, [H, W] uint8 or [H, W] uint16 as PNG."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    with replacing(path) as file:
        image.save(file, format="PNG")


def write_rendered(folder: Path, stem: str, picture: RenderedView) -> int:
    """Write a frame's five pictures; returns how many depths were too large for 16 bits."""
    if int(picture.instances.max(initial=0)) > 65535:
        raise InvalidInput(
            f"Instance {int(picture.instances.max())} does not fit a 16-bit picture.", "Number instances to 65535."
        )
    write_png(folder / f"{stem}.rgb.png", picture.rgb)
    write_png(folder / f"{stem}.depth.png", depth_to_millimetres(picture.depth))
    write_png(folder / f"{stem}.alpha.png", np.rint(np.clip(picture.alpha, 0, 1) * 255).astype(np.uint8))
    write_png(folder / f"{stem}.class.png", picture.classes)
    write_png(folder / f"{stem}.instance.png", picture.instances.astype(np.uint16))
    return int((picture.depth > 65535.5 * MILLIMETRES).sum())


def write_heat(path: Path, scores: npt.NDArray[np.float32]) -> None:
    """Scores [H, W] in 0..1 as a picture."""
    write_png(path, heat_colours(scores))


def depth_to_millimetres(depth: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Depth [H, W] in scene units -> [H, W] uint16 thousandths; what does not fit (over 65.535) becomes 0, none."""
    steps = np.rint(np.nan_to_num(depth.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0) / MILLIMETRES)
    return np.where((steps > 0) & (steps <= 65535), steps, 0).astype(np.uint16)


@contextmanager
def _opened(path: Path, size: Size | None) -> Iterator[Image.Image]:
    """A picture whose size is checked, decoded when used; every way of being unreadable becomes InvalidFile."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the size is compared below, before decoding
            opened = Image.open(path)
        with opened as image:
            _check_size(path, image.size, size)
            yield image
    except FileNotFoundError:
        raise InvalidFile(f"The picture '{path}' does not exist.", "Check the paths in the capture's file.") from None
    except UnidentifiedImageError:
        raise InvalidFile(f"'{path}' is not a picture that can be read.", "Use PNG or JPEG.") from None
    except Image.DecompressionBombError as error:
        raise InvalidFile(f"'{path}' claims to be enormous: {error}") from error
    except OSError as error:
        raise InvalidFile(f"The picture '{path}' cannot be read: {error.strerror or error}.", "It may be cut off.") from error
    except (SyntaxError, ValueError) as error:  # Pillow's words for damaged PNG chunks
        raise InvalidFile(f"The picture '{path}' is damaged: {error}.", "Copy or export it again.") from error


def _check_size(path: Path, found: Size, expected: Size | None) -> None:
    if expected is not None and found != expected:
        raise InvalidFile(
            f"'{path}' is {found[0]}x{found[1]} pixels, but its camera says {expected[0]}x{expected[1]}.",
            "Scale the pictures, or correct w, h and the intrinsics.",
        )


def _read_exr_depth(path: Path, size: Size) -> npt.NDArray[np.float32]:
    if not path.is_file():
        raise InvalidFile(f"The picture '{path}' does not exist.", "Check the paths in the capture's file.")
    try:
        import OpenEXR
    except ImportError as error:
        raise NotAvailable(f"'{path}' needs OpenEXR, which is not installed.", "pip install OpenEXR") from error
    try:
        low, high = OpenEXR.File(str(path), header_only=True).header()["dataWindow"]
        _check_size(path, (int(high[0] - low[0]) + 1, int(high[1] - low[1]) + 1), size)
        channels = OpenEXR.File(str(path)).channels()
    except (RuntimeError, ValueError, KeyError, TypeError) as error:  # what OpenEXR raises for damaged files
        raise InvalidFile(f"'{path}' is not an EXR file that can be read: {error}.", "Copy or export it again.") from error
    layers = {name.rpartition(".")[2]: name for name in channels}
    chosen = next((layers[c] for c in _DEPTH_CHANNELS if c in layers), next(iter(channels)) if len(channels) == 1 else None)
    if chosen is None:
        raise InvalidFile(f"'{path}' has no depth channel: it has {', '.join(channels)}.", "Name the depth channel Z.")
    pixels = np.asarray(channels[chosen].pixels, dtype=np.float32)
    depth = pixels[:, :, 0] if pixels.ndim == 3 else pixels
    return np.where(np.isfinite(depth) & (depth >= FAR), np.float32(0), depth)
