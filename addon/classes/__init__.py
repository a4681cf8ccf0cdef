# SPDX-License-Identifier: GPL-3.0-or-later
"""Results as people correct them: classes and things are renamed, merged, recoloured, moved, deleted, hidden and selected.

Nothing is predicted here and no server is asked. `edit` changes what points are, and keeps names, numbers, collections and objects in
step; `carving` takes points out of objects; `visibility` hides; `selection` selects points; `presets` are sets of names and colours;
`summary` is what panels show, worked out once a change. All of it is plain functions; the operators make the undo steps.
"""

from .active import active_class, active_result, groups_of, result_of
from .edit import (
    assign,
    chosen_of,
    class_mask,
    delete,
    instance_mask,
    merge,
    occurring,
    recolour,
    rename,
    rename_instance,
    told_points,
)
from .presets import apply_preset, preset_list, remove_preset, save_preset
from .selection import select_points, selected_points
from .summary import Summary, summary_of
from .visibility import isolate, isolated, show_all

__all__ = [
    "Summary",
    "active_class",
    "active_result",
    "apply_preset",
    "assign",
    "chosen_of",
    "class_mask",
    "delete",
    "groups_of",
    "instance_mask",
    "isolate",
    "isolated",
    "merge",
    "occurring",
    "preset_list",
    "recolour",
    "remove_preset",
    "rename",
    "rename_instance",
    "result_of",
    "save_preset",
    "select_points",
    "selected_points",
    "show_all",
    "summary_of",
    "told_points",
]
