# SPDX-License-Identifier: GPL-3.0-or-later
"""The live view: the server's picture of a result in the 3D viewport, aligned with the view, while it moves.

    draw handler ─ what a region shows ─► LiveView ─ look ═ pipe ═► server: a picture with depth
    draw handler ◄─ drawing, tested against Blender's depth ◄─ texture ◄─ timer ◄═

- cameras.py: a viewport's matrices as a camera (no bpy).
- asking.py: one question at a time, the newest camera, small pictures while it moves (no bpy).
- source.py: the result at the server, sent again when it changes. hiding.py: its points hidden meanwhile.
- drawing.py: the picture into the viewport. running.py: timer, handlers, and all that ends it. settings.py: what is remembered.
"""

from .running import any_live, is_live, register, start, status, stop, stop_all, unregister
from .settings import SplatonymLive

__all__ = [
    "SplatonymLive",
    "any_live",
    "is_live",
    "register",
    "start",
    "status",
    "stop",
    "stop_all",
    "unregister",
]
