# SPDX-License-Identifier: GPL-3.0-or-later
"""What Gaussians know of a scene's own objects: labels on faces, names for the unnamed, and objects found by class or question.

`surfaces` reads the objects, `nearby` finds the Gaussians beside them (core.voting judges), `meshes` and `separation` write to
meshes, `objects` speaks of objects as a whole. Work that takes time is a generator of steps, see addon/jobs.py.
"""

from .meshes import SEPARATE, TransferOptions, Transferred, labels_to_meshes, remove_labels
from .nearby import read_labelled
from .objects import (
    Called,
    Looked,
    Rename,
    apply_names,
    find_class,
    is_unnamed,
    look,
    meant,
    of_class,
    of_instance,
    preview_names,
    select,
    shares,
    similar,
    what_is,
)
from .surfaces import choose_objects

__all__ = [
    "SEPARATE",
    "Called",
    "Looked",
    "Rename",
    "TransferOptions",
    "Transferred",
    "apply_names",
    "choose_objects",
    "find_class",
    "is_unnamed",
    "labels_to_meshes",
    "look",
    "meant",
    "of_class",
    "of_instance",
    "preview_names",
    "read_labelled",
    "remove_labels",
    "select",
    "shares",
    "similar",
    "what_is",
]
