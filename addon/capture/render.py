# SPDX-License-Identifier: GPL-3.0-or-later
"""Two renders of a prepared scene: how it looks, and what is where.

Colour comes from any engine. Depth and instances always come from Cycles, at one sample in the middle of each pixel: other
engines have no exact pass for them, and passes of a render with many samples belong to the first of these, somewhere in the
pixel.

The scene given here is the session's own copy (session.py); `changed` keeps the two renders from disturbing each other.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import numpy.typing as npt

from ...core.errors import InvalidFile, InvalidInput, NotAvailable
from .exr import read_exr

ENGINE_IDS = {
    "CYCLES": ("CYCLES",),
    "EEVEE": ("BLENDER_EEVEE_NEXT", "BLENDER_EEVEE"),  # 4.2 to 4.5, and from 5.0 on
    "WORKBENCH": ("BLENDER_WORKBENCH",),
}
_WORKBENCH_SAMPLES = {"5": 5, "8": 8, "11": 11, "16": 16, "32": 32}
_ONE_CENTRED_SAMPLE = {
    "samples": 1,
    "use_adaptive_sampling": False,
    "use_denoising": False,
    "pixel_filter_type": "BLACKMAN_HARRIS",  # a box filter would ignore the width
    "filter_width": 0.01,
    "use_pixel_jitter": False,  # from 5.2 on: exactly the centre
    "max_bounces": 0,
    "use_guiding": False,
    "use_fast_gi": False,
}


@dataclass(frozen=True)
class Stage:
    """Where the session renders: the copied scene, which has one view layer, and a folder for the pictures."""

    scene: bpy.types.Scene
    folder: Path

    @property
    def layer(self) -> bpy.types.ViewLayer:
        return self.scene.view_layers[0]


@contextmanager
def changed(owner: Any, **values: Any) -> Iterator[None]:
    """Set properties for the time being; those that this version of Blender lacks are passed over."""
    before = {name: getattr(owner, name) for name in values if hasattr(owner, name)}
    try:
        for name in before:
            setattr(owner, name, values[name])
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


def set_where_there(owner: Any, **values: Any) -> None:
    """Set properties; those that this version of Blender lacks are passed over."""
    for name, value in values.items():
        if hasattr(owner, name):
            setattr(owner, name, value)


def set_engine(scene: bpy.types.Scene, engine: str) -> None:
    """Choose the engine: "CYCLES", "EEVEE", "WORKBENCH", or an id as Blender has it."""
    names = ENGINE_IDS.get(engine, (engine,))
    if scene.render.engine in names:
        return  # setting it, even to what it is, makes Blender forget what Cycles keeps from one render to the next
    for name in names:
        try:
            scene.render.engine = name
        except TypeError:
            continue
        return
    raise NotAvailable(
        f"The render engine '{engine}' is not there.", "Enable its add-on in the preferences, or choose another engine."
    )


def prepare(scene: bpy.types.Scene, width: int, height: int) -> None:
    """Settings that both renders share: the size, no look, nothing that blurs, cuts or writes over the picture."""
    scene.render.engine = "BLENDER_WORKBENCH"  # for now: a change frees what an undo may have left of an earlier capture
    set_where_there(
        scene.render,
        resolution_x=width,
        resolution_y=height,
        resolution_percentage=100,
        use_border=False,
        use_crop_to_border=False,
        use_motion_blur=False,
        use_compositing=False,
        use_sequencer=False,
        use_freestyle=False,
        use_multiview=False,
        use_single_layer=False,
        use_stamp=False,
        use_overwrite=True,
        use_placeholder=False,
        use_file_extension=False,
        use_persistent_data=can_keep(),
        film_transparent=False,
        dither_intensity=0.0,
        save_output=True,
    )
    scene.display_settings.display_device = "sRGB"
    set_where_there(scene.display_settings, emulation="OFF")
    set_where_there(
        scene.view_settings,
        view_transform="Standard",
        look="None",
        exposure=0.0,
        gamma=1.0,
        use_curve_mapping=False,
        use_white_balance=False,
        use_hdr_view=False,
    )
    scene.display.shading.use_dof = False
    scene.timeline_markers.clear()  # they would switch the camera
    (layer,) = scene.view_layers
    layer.name = "Layer"  # the files' channels begin with it
    for name in (p.identifier for p in layer.bl_rna.properties if p.identifier.startswith("use_pass_")):
        setattr(layer, name, name in ("use_pass_combined", "use_pass_cryptomatte_accurate"))
    set_where_there(layer, use=True, samples=0, use_motion_blur=False, use_freestyle=False)


def render_colour(stage: Stage, engine: str, samples: int, denoise: bool) -> npt.NDArray[np.uint8]:
    """[H, W, 3] uint8 sRGB."""
    scene = stage.scene
    set_engine(scene, engine)
    set_where_there(scene.eevee, taa_render_samples=samples)
    enough = (name for name, count in _WORKBENCH_SAMPLES.items() if count >= samples)
    scene.display.render_aa = "OFF" if samples == 1 else next(enough, "32")
    if scene.render.engine == "CYCLES":
        set_where_there(
            scene.cycles,
            samples=samples,
            use_denoising=denoise and can_denoise(),
            time_limit=0.0,
            sample_offset=0,
            use_sample_subset=False,
        )
    set_format(scene, "BMP", color_mode="RGB")
    return read_bmp(render_file(stage, "colour.bmp"))


def render_geometry(stage: Stage) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Planar depth [H, W] float32, 0 for none, and Cryptomatte's hashes [H, W] float32, at the pixel centres."""
    scene, layer = stage.scene, stage.layer
    set_engine(scene, "CYCLES")
    passes = {"use_pass_z": True, "use_pass_cryptomatte_object": True, "pass_cryptomatte_depth": 2, "use_volumes": False}
    with changed(scene.cycles, **_ONE_CENTRED_SAMPLE), changed(layer, **passes):
        set_format(scene, "OPEN_EXR_MULTILAYER", color_depth="32", exr_codec="NONE", use_exr_interleave=True)
        channels = read_exr(render_file(stage, "geometry.exr"))
    depth = channels[f"{layer.name}.Depth.Z"]
    depth[~((depth > 0) & (depth < 0.999 * scene.camera.data.clip_end))] = 0
    return depth, channels[f"{layer.name}.CryptoObject00.r"]


def can_denoise() -> bool:
    """Whether Cycles is built with a denoiser; asked for one that it has not, some versions refuse to render."""
    import _cycles  # there where the Cycles add-on is

    return bool(getattr(_cycles, "with_openimagedenoise", True))


def can_keep() -> bool:
    """Whether Cycles may keep its copy of the scene from one render to the next, which saves building it twice a view.

    It notices what moves, but not that only one of the two renders has volumes.
    """
    trees = (tree for tree in bpy.data.node_groups if tree.bl_idname == "GeometryNodeTree")
    makers = (node for tree in trees for node in tree.nodes if "Volume" in node.bl_idname or "NamedGrid" in node.bl_idname)
    smoke = (m for item in bpy.data.objects for m in item.modifiers if m.type == "FLUID" and m.fluid_type == "DOMAIN")
    return not (bpy.data.volumes or any(makers) or any(smoke))


def set_format(scene: bpy.types.Scene, file_format: str, **values: Any) -> None:
    settings = scene.render.image_settings
    set_where_there(settings, media_type="MULTI_LAYER_IMAGE" if file_format.endswith("MULTILAYER") else "IMAGE")  # from 5.0 on
    settings.file_format = file_format
    set_where_there(settings, color_management="FOLLOW_SCENE", **values)


def render_file(stage: Stage, name: str) -> Path:
    """Render the scene into a file; a render that Blender refuses or breaks off raises NotAvailable."""
    path = stage.folder / name
    path.unlink(missing_ok=True)
    stage.scene.render.filepath = str(path)
    try:
        with quiet():
            result = bpy.ops.render.render(scene=stage.scene.name, write_still=True)
    except RuntimeError as error:
        why = str(error).strip().removeprefix("Error: ")
        raise NotAvailable(f"Blender could not render: {why}", "Try a render of your own (F12); it shows the same.") from error
    if result != {"FINISHED"}:
        raise NotAvailable("Blender did not render: another render is running.", "Wait for it, or stop it.")
    if not path.exists() or not path.stat().st_size:
        raise InvalidInput(f"The render could not be written to '{path.parent}'.", "Make room on that disk.")
    return path


def read_bmp(path: Path) -> npt.NDArray[np.uint8]:
    """[H, W, 3] uint8 of a 24-bit BMP, the top row first."""
    data = path.read_bytes()
    if len(data) < 26 or len(data) < int.from_bytes(data[2:6], "little"):
        raise InvalidFile(f"The render '{path}' is cut short.", "Make room on that disk.")
    start, width, height = (int.from_bytes(data[place : place + 4], "little") for place in (10, 18, 22))
    stride = -(-3 * width // 4) * 4
    rows = np.frombuffer(data, np.uint8, stride * height, start).reshape(height, stride)
    return np.ascontiguousarray(rows[::-1, : 3 * width].reshape(height, width, 3)[..., ::-1])


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the lines that Blender 4 prints for each sample off the terminal of scripts; in a window nothing is touched."""
    if not bpy.app.background:
        yield
        return
    sys.stdout.flush()
    kept, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(null)
