# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders a room with Cycles and turns the result into arrays.

A pose is a 4x4 camera-to-world matrix with OpenGL axes (x right, y up, looking along -z), in metres.
Pixel centres are at half-integers; depth is planar (along the optical axis), not along the ray.
"""

import contextlib
import math
import os
import tempfile
from pathlib import Path

import bpy
import numpy as np
import OpenEXR
from mathutils import Matrix


class Renderer:
    """Renders the current scene from given poses with one pinhole camera: first geometry of all views, then their colour.

    Blender keeps the scene's data between renders while the settings stay; each change of kind costs a synchronisation.
    """

    def __init__(self, size, fov, samples, folder):
        self.size, self.samples, self.folder = size, samples, folder
        self.focal = 0.5 * size / math.tan(fov / 2)
        data = bpy.data.cameras.new("camera")
        data.angle, data.clip_start = fov, 0.02
        self.camera = bpy.data.objects.new("camera", data)
        bpy.context.collection.objects.link(self.camera)
        scene = self.scene = bpy.context.scene
        scene.camera = self.camera
        scene.render.engine = "CYCLES"
        scene.cycles.device = "CPU"
        scene.render.resolution_x = scene.render.resolution_y = size
        scene.render.resolution_percentage = 100
        scene.render.threads_mode, scene.render.threads = "FIXED", 1
        scene.render.use_persistent_data = True
        scene.render.use_simplify, scene.cycles.texture_limit_render = True, "512"
        scene.render.image_settings.file_format = "OPEN_EXR_MULTILAYER"
        scene.render.image_settings.color_depth = "32"
        scene.render.image_settings.exr_codec = "NONE"
        scene.cycles.use_adaptive_sampling = scene.cycles.use_light_tree = False  # few lights
        scene.cycles.caustics_reflective = scene.cycles.caustics_refractive = False
        scene.cycles.denoiser = "OPENIMAGEDENOISE"
        scene.cycles.denoising_prefilter = "FAST"
        scene.cycles.pixel_filter_type = "BLACKMAN_HARRIS"
        layer = scene.view_layers[0]
        layer.use_pass_z = layer.use_pass_object_index = True

    def _render(self, pose):
        self.camera.matrix_world = Matrix(pose.tolist())
        with tempfile.TemporaryDirectory(dir=self.folder) as folder, quiet():
            self.scene.render.filepath = str(Path(folder) / "view.exr")
            bpy.ops.render.render(write_still=True)
            with OpenEXR.File(self.scene.render.filepath) as f:
                channels = [item for part in f.parts for item in part.channels.items()]
                return {name.split(".", 1)[-1]: np.array(channel.pixels) for name, channel in channels}

    def geometry(self, pose):
        """(depth in metres with 0 for none, instance numbers), sampled at the pixel centres."""
        self.scene.cycles.samples, self.scene.cycles.max_bounces = 1, 0
        self.scene.cycles.use_denoising = False
        self.scene.cycles.filter_width = 0.01
        out = self._render(pose)
        depth = pick(out, "Depth").astype(np.float32)
        instance = np.rint(pick(out, "IndexOB")).astype(np.int32)
        depth[(depth > 60) | (instance == 0)] = 0
        return depth, instance

    def colour(self, pose):
        """Linear RGB, denoised."""
        self.scene.cycles.samples, self.scene.cycles.max_bounces = self.samples, 4
        self.scene.cycles.use_denoising = True
        self.scene.cycles.filter_width = 1.2
        return np.maximum(pick(self._render(pose), "Combined")[..., :3], 0)


def pick(channels, word):
    """The image of one pass, whether its channels were stored together or apart."""
    found = {k: v for k, v in channels.items() if word in k}
    if len(found) == 1:
        image = next(iter(found.values()))
        return image if word == "Combined" or image.ndim == 2 else image[..., 0]
    return np.stack([next(v for k, v in found.items() if k.endswith(c)) for c in (".R", ".G", ".B")], -1)


@contextlib.contextmanager
def quiet():
    """Silence what Blender prints from C."""
    keep, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    try:
        yield
    finally:
        os.dup2(keep, 1)
        os.close(keep)
        os.close(null)


def develop(images, middle=0.25, knee=0.7):
    """Linear RGB images of one room -> 8-bit sRGB, with one gain for all of them.

    The gain brings the median luminance to `middle`; what exceeds `knee` is bent towards 1.
    """
    luminance = np.concatenate([(i @ [0.2126, 0.7152, 0.0722]).ravel() for i in images])
    gain = middle / max(np.median(luminance), 1e-4)
    out = []
    for image in images:
        x = image * gain
        x = np.where(x > knee, knee + (1 - knee) * (1 - np.exp((knee - x) / (1 - knee))), x)
        x = np.where(x < 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-6) ** (1 / 2.4) - 0.055)
        out.append((x.clip(0, 1) * 255 + 0.5).astype(np.uint8))
    return out
