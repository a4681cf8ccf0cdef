# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cameras see the scene, and what they are as `core.cameras.Camera`.

A shot is a camera at a frame. Every camera is read as Blender evaluates it (parents, constraints, animation), without its
scale: forward and up are kept and the right hand follows, so a sheared or mirrored camera gives a view like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import bpy
import numpy as np
import numpy.typing as npt

from ...core.cameras import Camera, blender_intrinsics, pose_from_opengl
from ...core.errors import InvalidInput

CAMERA_SOURCES = ("SELECTED", "ALL", "ACTIVE_ANIMATED")
_LENS_PROPERTIES = (
    "type",
    "lens",
    "ortho_scale",
    "sensor_fit",
    "sensor_width",
    "sensor_height",
    "shift_x",
    "shift_y",
    "clip_start",
    "clip_end",
)


@dataclass(frozen=True)
class Seen:
    """An evaluated camera as plain values: what `upright`, `read_camera` and `copy_lens` look at."""

    name: str
    matrix_world: tuple[tuple[float, ...], ...]
    data: SimpleNamespace

    @classmethod
    def of(cls, camera: bpy.types.Object) -> Seen:
        rows = tuple(tuple(row) for row in camera.matrix_world)
        return cls(camera.name, rows, SimpleNamespace(**{name: getattr(camera.data, name) for name in _LENS_PROPERTIES}))


@dataclass(frozen=True)
class Shot:
    """A camera at a frame; `name` is what the view is called.

    seen: what the camera is at that frame, where this was looked up already; else it is looked up when the shot is rendered.
    """

    camera: bpy.types.Object
    frame: int
    name: str
    seen: Seen | None = None


def choose_cameras(context: bpy.types.Context, source: str = "SELECTED", *, names: Sequence[str] = ()) -> list[Shot]:
    """The shots of the selected cameras, of all, or of the active one at each frame of the scene's range (with its step).

    `names` takes cameras by name in place of `source`. No camera, or one that has no pinhole, raises InvalidInput.
    """
    scene, layer = context.scene, context.view_layer
    layer.update()  # a script may have just added a camera
    if names:
        shots = [_still(_named(scene, name), scene) for name in dict.fromkeys(names)]
    elif source == "ACTIVE_ANIMATED":
        shots = _animated(scene)
    elif source in CAMERA_SOURCES:
        cameras = [o for o in layer.objects if o.type == "CAMERA" and (source == "ALL" or o.select_get(view_layer=layer))]
        shots = [_still(camera, scene) for camera in sorted(cameras, key=lambda camera: camera.name)]
        if not shots and any(thing.type == "CAMERA" for thing in layer.objects):
            raise InvalidInput(
                "No camera is selected.",
                "Select the cameras that see the scene, or use all.",
                repair="splatonym.use_all_cameras",
            )
        if not shots:
            raise InvalidInput(
                f"The scene '{scene.name}' has no camera in view layer '{layer.name}'.",
                "Add a camera.",
                repair="splatonym.plan_cover",
            )
    else:
        raise InvalidInput(f"There is no camera source '{source}'.", f"Use one of {', '.join(CAMERA_SOURCES)}.")
    for shot in shots:
        check_pinhole(shot.camera)
    return shots


def scene_camera(scene: bpy.types.Scene) -> Camera:
    """The scene's active camera, as it is now, at the scene's resolution."""
    if scene.camera is None:
        raise InvalidInput(
            f"The scene '{scene.name}' has no active camera.", "Add a camera, or make one active (Ctrl Numpad 0)."
        )
    check_pinhole(scene.camera)
    evaluated = scene.camera.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return read_camera(evaluated, *scene_size(scene), scene)


def scene_size(scene: bpy.types.Scene) -> tuple[int, int]:
    """Width and height in pixels that Blender renders for this scene."""
    render = scene.render
    percent = render.resolution_percentage
    return max(render.resolution_x * percent // 100, 1), max(render.resolution_y * percent // 100, 1)


def check_pinhole(camera: bpy.types.Object) -> None:
    """Raise InvalidInput unless the object is a perspective or orthographic camera."""
    if camera.type != "CAMERA":
        raise InvalidInput(f"'{camera.name}' is not a camera but a {camera.type.lower()}.", "Choose a camera.")
    if camera.data.type not in ("PERSP", "ORTHO"):
        raise InvalidInput(
            f"Camera '{camera.name}' is {camera.data.type.lower().replace('pano', 'panoramic')}: its picture has no pinhole.",
            "Set its lens type to Perspective or Orthographic, or leave it out.",
        )


def read_camera(camera: bpy.types.Object | Seen, width: int, height: int, scene: bpy.types.Scene) -> Camera:
    """An evaluated camera object as a Camera that renders `width` x `height` pixels with the scene's pixel aspect."""
    lens = camera.data
    perspective = lens.type == "PERSP"
    K = blender_intrinsics(
        width=width,
        height=height,
        sensor_fit=lens.sensor_fit,
        sensor_width=lens.sensor_width,
        sensor_height=lens.sensor_height,
        shift_x=lens.shift_x,
        shift_y=lens.shift_y,
        pixel_aspect_x=scene.render.pixel_aspect_x,
        pixel_aspect_y=scene.render.pixel_aspect_y,
        lens=lens.lens if perspective else None,
        ortho_scale=None if perspective else lens.ortho_scale,
    )
    pose = pose_from_opengl(upright(camera))
    return Camera(width, height, K, pose, "perspective" if perspective else "orthographic")


def upright(camera: bpy.types.Object | Seen) -> npt.NDArray[np.float64]:
    """[4, 4] float64 camera-to-world, Blender's axes: a rotation that keeps its view direction and its up."""
    matrix = np.array(camera.matrix_world, dtype=np.float64)
    back, up = matrix[:3, 2], matrix[:3, 1]
    back = back / max(np.linalg.norm(back), 1e-30)
    up = up - (up @ back) * back
    length = np.linalg.norm(up)
    if not np.isfinite(matrix).all() or not length > 1e-12 or abs(np.linalg.norm(back) - 1) > 1e-6:
        raise InvalidInput(
            f"Camera '{camera.name}' has no direction: its scale is zero or its transform is broken.", "Reset its scale."
        )
    up /= length
    pose = np.eye(4)
    pose[:3, :3] = np.stack([np.cross(up, back), up, back], axis=1)
    pose[:3, 3] = matrix[:3, 3]
    return pose


def copy_lens(target: bpy.types.Camera, source: bpy.types.Camera | SimpleNamespace) -> None:
    """Everything of a pinhole that moves a pixel; depth of field, which blurs it, stays out."""
    for name in _LENS_PROPERTIES:
        setattr(target, name, getattr(source, name))


def _still(camera: bpy.types.Object, scene: bpy.types.Scene) -> Shot:
    return Shot(camera, scene.frame_current, camera.name)


def _named(scene: bpy.types.Scene, name: str) -> bpy.types.Object:
    camera = scene.objects.get(name)
    if camera is None or camera.type != "CAMERA":
        there = sorted(o.name for o in scene.objects if o.type == "CAMERA")
        what = "is not a camera" if camera else "is not in the scene"
        raise InvalidInput(f"'{name}' {what}.", f"Cameras: {', '.join(there) or 'none'}.")
    return camera


def _animated(scene: bpy.types.Scene) -> list[Shot]:
    """The active camera at the scene's frames; markers that switch the camera are followed."""
    frames = range(scene.frame_start, scene.frame_end + 1, scene.frame_step)
    markers = sorted((m for m in scene.timeline_markers if m.camera is not None), key=lambda marker: marker.frame)
    shots = []
    for frame in frames:
        before = [marker.camera for marker in markers if marker.frame <= frame]
        camera = before[-1] if before else markers[0].camera if markers else scene.camera
        if camera is None:
            raise InvalidInput(
                f"The scene '{scene.name}' has no active camera.", "Add a camera, or make one active (Ctrl Numpad 0)."
            )
        shots.append(Shot(camera, frame, f"{camera.name} {frame:04d}"))
    return shots
