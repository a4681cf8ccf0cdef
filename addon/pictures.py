# SPDX-License-Identifier: GPL-3.0-or-later
"""A result seen through a camera, as an image of the .blend."""

from __future__ import annotations

from collections.abc import Generator

import bpy
import numpy as np
import numpy.typing as npt

from ..core.errors import NotAvailable
from ..core.heat import heat_colours
from ..core.labels import label_colour
from ..core.protocol import Pictures, pack_camera, unpack_pictures
from ..core.scene import SemanticScene
from .asking import at_server
from .build import Result, read_steps
from .build.attributes import point_scores
from .build.objects import point_objects
from .capture import scene_camera
from .jobs import Step

PICTURES = [
    ("RGB", "Colour", "What the splat looks like"),
    ("DEPTH", "Depth", "Planar depth in scene units"),
    ("ALPHA", "Opacity", "How much of each pixel the splat covers"),
    ("CLASS", "Classes", "Each pixel in the colour of its class"),
    ("INSTANCE", "Instances", "Each pixel in a colour of its object"),
    ("ANSWER", "Answer", "How well what shows in each pixel fits the last question"),
]


def render_result(context: bpy.types.Context, result: Result, picture: str) -> Generator[Step, None, bpy.types.Image]:
    """Rasterize a result, as its objects are now, through the scene's active camera at the scene's resolution."""
    camera = scene_camera(context.scene)
    asked = {"scores": answer_scores(result)} if picture == "ANSWER" else {}
    scene = yield from read_steps(result.collection)
    _, arrays = yield from at_server(scene, "render", {"cameras": [pack_camera(camera)]}, asked)
    if picture == "ANSWER":
        pixels = np.ones((camera.height, camera.width, 4), np.float32)
        pixels[..., :3] = heat_colours(arrays["heat.0"]) / np.float32(255)
    else:
        pixels = picture_pixels(unpack_pictures([camera], arrays)[0], picture, scene)
    return put_image(f"{scene.name} {picture.title()}", pixels, is_data=picture in ("DEPTH", "ALPHA"))


def answer_scores(result: Result) -> npt.NDArray[np.float32]:
    """[N] how well each point fits the last question, in the order of `read_gaussians`; a result that was not asked raises NotAvailable."""
    parts = [point_scores(item.data) for item in point_objects(result.collection)]
    found = [part for part in parts if part is not None]
    if not found or len(found) < len(parts):
        raise NotAvailable(f"'{result.name}' has not been asked anything.", "Ask it for something first.")
    return np.concatenate(found)


def picture_pixels(pictures: Pictures, picture: str, scene: SemanticScene) -> npt.NDArray[np.float32]:
    """[H, W, 4] float32 for an image: sRGB for colours, plain numbers for depth and opacity."""
    height, width = pictures.alpha.shape
    out = np.ones((height, width, 4), np.float32)
    if picture == "RGB":
        out[..., :3] = pictures.rgb / np.float32(255)
    elif picture == "DEPTH":
        out[..., :3] = pictures.depth[..., None]
    elif picture == "ALPHA":
        out[..., :3] = pictures.alpha[..., None]
    else:
        numbers = pictures.classes.astype(np.int64) if picture == "CLASS" else pictures.instances.astype(np.int64)
        for number in np.unique(numbers):
            name = scene.labels.names[number] if picture == "CLASS" and number < len(scene.labels) else f"instance {number}"
            nothing = number == (255 if picture == "CLASS" else 0)
            out[numbers == number, :3] = 0 if nothing else np.array(label_colour(name)) / 255
    return out


def put_image(name: str, pixels: npt.NDArray[np.float32], *, is_data: bool) -> bpy.types.Image:
    """Fill the image of that name, made if needed; `pixels` [H, W, 4] from the top row down."""
    height, width = pixels.shape[:2]
    image = bpy.data.images.get(name)
    if image is None:
        image = bpy.data.images.new(name, width, height, alpha=True, float_buffer=is_data, is_data=is_data)
    if tuple(image.size) != (width, height):
        image.scale(width, height)
    image.pixels.foreach_set(np.ascontiguousarray(pixels[::-1], np.float32).ravel())
    image.update()
    image.pack()
    return image
