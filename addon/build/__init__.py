# SPDX-License-Identifier: GPL-3.0-or-later
"""Labelled scenes as Blender objects: `build_scene` puts one in, `read_gaussians` takes it out, `remove_result` cleans it up.

`build_steps` and `read_steps` do the same in short steps, between which the window draws. `find_results` lists what is there
(cheap enough for a panel); `set_show` switches what the points show, `set_setting` how. All work on `bpy.data`, in the window and
in the background, and leave the undo step to the operator that calls them.
"""

from .materials import SHOW_MODES
from .objects import (
    Result,
    ResultClass,
    build_scene,
    build_steps,
    describe,
    find_collection,
    find_results,
    fingerprint,
    found_again,
    get_setting,
    get_show,
    remove_result,
    set_answer,
    set_setting,
    set_show,
    unchanged,
)
from .reading import read_gaussians, read_steps

__all__ = [
    "SHOW_MODES",
    "Result",
    "ResultClass",
    "build_scene",
    "build_steps",
    "describe",
    "find_collection",
    "find_results",
    "fingerprint",
    "found_again",
    "get_setting",
    "get_show",
    "read_gaussians",
    "read_steps",
    "remove_result",
    "set_answer",
    "set_setting",
    "set_show",
    "unchanged",
]
