# SPDX-License-Identifier: GPL-3.0-or-later
"""A Blender scene's cameras -> `core.views.View`s: picture, planar depth and instance numbers.

    shots = choose_cameras(context, "SELECTED")          # or "ALL", "ACTIVE_ANIMATED", or names=[...]
    captured = capture(context, shots, CaptureSettings(resolution=256), progress=print)

and one view at a time, so that a modal operator can stop between two:

    with CaptureSession(context, CaptureSettings(resolution=256)) as session:
        views = [session.render(shot) for shot in shots]
        captured = Captured(views, session.instances, session.labels)

or as steps of a job, which in a window leaves the rendering to a second Blender, so that this one stays free (apart.py):

    captured = yield from capture_in_steps(context, shots, settings)

Everything is rendered in a temporary copy of the scene, through a camera of its own: the file's settings, frame, cameras,
compositor and objects are never changed, so there is nothing to forget to restore (session.py says more).

What views show: the render without the scene's look (Standard, no exposure, no compositor), sharp (no motion blur, no
depth of field), in front of its world even where the film is transparent. Depth and instances are those of the first surface
in the pixel's centre: glass counts as a surface, and what lies behind it is not seen. Volumes, lights and grease pencil
have neither. Rigid bodies that a simulation has moved are refused: the copy does not have the simulation.
"""

from .cameras import CAMERA_SOURCES, Shot, choose_cameras, scene_camera
from .session import Captured, CaptureSession, CaptureSettings, capture, empty_views
from .steps import capture_in_steps

__all__ = [
    "CAMERA_SOURCES",
    "CaptureSession",
    "CaptureSettings",
    "Captured",
    "Shot",
    "capture",
    "capture_in_steps",
    "choose_cameras",
    "empty_views",
    "scene_camera",
]
