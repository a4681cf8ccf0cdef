# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenes and renders for the tests of addon/build."""

import tempfile
from pathlib import Path

import bpy
import numpy as np
from splatonym.core.gaussians import GaussianArrays, sh_from_rgb
from splatonym.core.labels import LabelMap
from splatonym.core.scene import SemanticScene
from splatonym.core.views import Instance

LABELS = LabelMap(("chair", "table", "lamp"))
SIDE = 48
"""Pixels of a test render, which shows x and y from -3 to 3 from above."""


def random_scene(count=200, bands=1, name="Room", seed=0, labels=LABELS, **changes):
    draw = np.random.default_rng(seed)
    quats = draw.normal(size=(count, 4))
    arrays = {
        "means": draw.normal(size=(count, 3)),
        "quats": quats / np.linalg.norm(quats, axis=1, keepdims=True),
        "scales": draw.uniform(0.01, 0.1, (count, 3)),
        "opacities": draw.uniform(0.01, 0.99, count),
        "sh": draw.normal(size=(count, bands, 3)),
        "label": draw.integers(0, 2, count),  # lamps and the unlabelled do not occur
        "instance": draw.integers(0, 5, count),
        "confidence": draw.uniform(0, 1, count),
    }
    arrays = {k: v.astype(np.int32 if k in ("label", "instance") else np.float32) for k, v in arrays.items()} | changes
    return SemanticScene(name, GaussianArrays(**arrays), labels, {1: Instance(1, "Stühlchen", "chair")})


def few(rgb, means, scale=0.5, **changes):
    """A few Gaussians in one class, opaque and round unless changed."""
    count = len(rgb)
    changes = {k: np.asarray(v, np.int32 if k in ("label", "instance") else np.float32) for k, v in changes.items()}
    arrays = {
        "means": np.float32(means),
        "quats": np.tile(np.float32([1, 0, 0, 0]), (count, 1)),
        "scales": np.full((count, 3), scale, np.float32),
        "opacities": np.ones(count, np.float32),
        "sh": sh_from_rgb(np.float32(rgb)),
        "label": np.zeros(count, np.int32),
        "instance": np.arange(count, dtype=np.int32),
        "confidence": np.ones(count, np.float32),
    } | changes
    return SemanticScene("Few", GaussianArrays(**arrays), LABELS)


def blocks():
    """Names of everything in the file, by kind; renders and images aside."""
    kinds = ("objects", "collections", "pointclouds", "meshes", "node_groups", "materials", "scenes", "cameras", "worlds")
    return {kind: sorted(item.name for item in getattr(bpy.data, kind)) for kind in kinds}


def render(engine="CYCLES", samples=16):
    """[SIDE, SIDE, 3] uint8 sRGB from above, y upwards in the picture's first index: row 0 is y = -3."""
    scene = bpy.context.scene
    if scene.camera is None:
        scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
        scene.collection.objects.link(scene.camera)
        scene.camera.location = (0, 0, 10)
        scene.camera.data.type, scene.camera.data.ortho_scale = "ORTHO", 6
    if engine == "EEVEE":
        engine = "BLENDER_EEVEE" if bpy.app.version >= (5, 0) else "BLENDER_EEVEE_NEXT"
    scene.render.engine = engine
    scene.render.resolution_x = scene.render.resolution_y = SIDE
    scene.render.image_settings.file_format, scene.render.dither_intensity = "PNG", 0
    scene.view_settings.view_transform = "Standard"
    scene.cycles.samples, scene.cycles.use_denoising = samples, False
    scene.render.threads_mode, scene.render.threads = "FIXED", 2
    scene.eevee.taa_render_samples = samples
    with tempfile.TemporaryDirectory() as folder:
        scene.render.filepath = str(Path(folder) / "picture.png")
        bpy.ops.render.render(write_still=True)
        image = bpy.data.images.load(scene.render.filepath)
        image.colorspace_settings.name = "Non-Color"
        pixels = np.empty(SIDE * SIDE * 4, np.float32)
        image.pixels.foreach_get(pixels)
        bpy.data.images.remove(image)
    return np.round(pixels.reshape(SIDE, SIDE, 4)[..., :3] * 255).astype(np.uint8)


def pixel(picture, x, y):
    """The colour at a place of the world, as three ints."""
    return picture[int((y + 3) / 6 * SIDE), int((x + 3) / 6 * SIDE)].astype(int)


def grid():
    """World x and y [SIDE, SIDE] at the pixel centres."""
    line = (np.arange(SIDE) + 0.5) / SIDE * 6 - 3
    return np.meshgrid(line, line)
