# SPDX-License-Identifier: GPL-3.0-or-later
"""What scripts use: every job as one plain call that returns when it is done. docs/API.md shows how.

Errors are SplatonymError: `.message` names what is wrong, `.hint` says what to do. A `tell` that is given hears every step. Results are
called by name; "" is the one that is active in the panel. The scene is that of Blender's context.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import bpy

from ..core.errors import InvalidInput, SplatonymError
from ..core.ply import write_ply
from ..core.scene import SemanticScene
from . import build, jobs, pictures, report, transfer
from .answers import Found
from .asking import Named, ask_result, describe_result, relabel_result, teach_result
from .build import Result, read_gaussians
from .classes.active import active_result
from .jobs import Step
from .labelling import LabelOptions, label_cameras
from .transfer import Called, Rename, TransferOptions, Transferred

__all__ = [
    "Called",
    "Found",
    "LabelOptions",
    "Named",
    "Rename",
    "Result",
    "SemanticScene",
    "SplatonymError",
    "Step",
    "TransferOptions",
    "Transferred",
    "ask",
    "describe",
    "export",
    "labels_to_meshes",
    "measured",
    "predict",
    "preview_names",
    "read",
    "relabel",
    "remove",
    "rename",
    "render",
    "result",
    "results",
    "teach",
    "what_is",
]

Tell = Callable[[Step], None]


def results() -> list[Result]:
    """The results in the scene, in the outliner's order: `.name`, `.count`, `.classes`, `.collection`."""
    return build.find_results(bpy.context.scene)


def result(name: str = "") -> Result:
    """A result by name or id; "" is the active one. The references in it are for use at once, not to be kept over an undo."""
    found = results()
    chosen = active_result(bpy.context.scene) if not name else next((r for r in found if name in (r.name, r.id)), None)
    if chosen is None:
        names = f"Results: {', '.join(r.name for r in found)}." if found else "Predict first."
        raise InvalidInput(f"There is no result '{name}'." if name else "There is no result yet.", names)
    return chosen


def predict(
    name: str = "Splatonym", cameras: Sequence[str] | str = "ALL", *, tell: Tell | None = None, **options: Any
) -> Result:
    """Render cameras, predict labelled Gaussians, and put them into the scene; a result of the same name is replaced.

    cameras: names, or "ALL", "SELECTED", "ACTIVE_ANIMATED". options: fields of LabelOptions (resolution, samples, engine, predictor,
    label_source, names, ...).
    """
    which = {"camera_source": cameras} if isinstance(cameras, str) else {"camera_source": "ALL", "camera_names": tuple(cameras)}
    made = jobs.run_to_end(label_cameras(bpy.context, LabelOptions(result_name=name, **which, **options)), tell)
    return result(made.result_id)


def read(name: str = "") -> SemanticScene:
    """A result as arrays, as its objects are now: `.gaussians.means` [N, 3], `.gaussians.label` [N], `.labels.names`, `.instances`."""
    return read_gaussians(result(name).collection)


def export(path: str | os.PathLike[str], name: str = "", *, strict: bool = False) -> int:
    """Write a result as a 3DGS PLY, with its labels unless strict; returns how many Gaussians."""
    gaussians = read(name).gaussians
    write_ply(path, gaussians, strict=strict)
    return len(gaussians)


def render(name: str = "", picture: str = "RGB", *, tell: Tell | None = None) -> bpy.types.Image:
    """A result through the scene's active camera: RGB, DEPTH, ALPHA, CLASS, INSTANCE or ANSWER."""
    return jobs.run_to_end(pictures.render_result(bpy.context, result(name), picture), tell)


def describe(name: str = "", *, cameras: str = "ALL", tell: Tell | None = None, **options: Any) -> Named:
    """Let a vision-language model look at a result, so that it can be named and asked. options: as for `predict`."""
    return jobs.run_to_end(describe_result(bpy.context, result(name), LabelOptions(camera_source=cameras, **options)), tell)


def relabel(names: str, name: str = "", *, tell: Tell | None = None) -> Named:
    """Give a described result other names: 'chair, sofa = couch | settee, lamp'."""
    return jobs.run_to_end(relabel_result(bpy.context, result(name), names), tell)


def ask(
    text: str,
    name: str = "",
    *,
    unwanted: str = "",
    level: str = "object",
    threshold: float | None = None,
    show: bool = True,
    tell: Tell | None = None,
) -> Found:
    """Ask a described result: `.count` points, `.things` with name and score, `.threshold`. Scores stay on its points."""
    return jobs.run_to_end(ask_result(bpy.context, result(name), text, unwanted, level, threshold, show), tell)


def teach(word: str, things: Sequence[int] = (), name: str = "", *, tell: Tell | None = None) -> Named:
    """Say what some things are (by instance number), or what the last question found; "" takes it back."""
    return jobs.run_to_end(teach_result(bpy.context, result(name), word, list(things)), tell)


def labels_to_meshes(name: str = "", *, tell: Tell | None = None, **options: Any) -> Transferred:
    """Write classes onto the faces of the scene's meshes. options: selected, fill, vertex_groups, materials, separate."""
    wanted = TransferOptions(**{"selected": False, **options})
    return jobs.run_to_end(transfer.labels_to_meshes(bpy.context, result(name), wanted), tell)


def what_is(name: str = "", *, tell: Tell | None = None) -> list[Called]:
    """What the selected objects are called: `.shares` of each class, the largest first."""
    return jobs.run_to_end(transfer.what_is(bpy.context, result(name)), tell)


def preview_names(name: str = "", *, tell: Tell | None = None, **options: Any) -> list[Rename]:
    """The names that objects would get: (old, new, confidence). options: selected, only_unnamed, least."""
    return jobs.run_to_end(transfer.preview_names(bpy.context, result(name), **options), tell)


def rename(renames: Iterable[Rename]) -> int:
    """Rename objects as previewed; returns how many."""
    return transfer.apply_names(bpy.context, renames)


def measured(name: str = "") -> dict[str, Any] | None:
    """What was measured when a result was predicted: counts, seconds by stage, devices, notes."""
    return report.last_report(result(name).collection)


def remove(name: str = "") -> None:
    """Remove a result with all its objects and data."""
    build.remove_result(bpy.context.scene, result(name).id)
