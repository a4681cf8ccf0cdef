# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole job for scripts: open a file, label it, write the results. The .blend that was opened stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import bpy

from ..core.errors import InvalidFile
from ..core.files import staged_folder, write_json
from ..core.scene import write_scene
from . import jobs
from .asking import Found, ask_result
from .build import find_results
from .labelling import LabelOptions, Outcome, label_cameras


@dataclass(frozen=True)
class HeadlessOptions:
    """What to label and where the results go.

    blend: file to open, or None for the one that is open. strict: write the PLY without labels. queries: what to ask the result for; each
    answer goes into answers.json, and the last one stays on the points of the .blend.
    """

    out: Path
    label: LabelOptions
    blend: Path | None = None
    strict: bool = False
    queries: tuple[str, ...] = ()


def label_file(options: HeadlessOptions, tell: Callable[[jobs.Step], None] | None = None) -> Outcome:
    """Label a file and write scene.ply, labels.json, report.json and NAME.blend into `options.out`."""
    with staged_folder(options.out) as folder:
        if options.blend is not None:
            open_blend(options.blend)
        outcome = jobs.run_to_end(label_cameras(bpy.context, options.label), tell)
        write_scene(folder, outcome.scene, strict=options.strict)
        write_json(folder / "report.json", outcome.report)
        if options.queries:
            write_json(
                folder / "answers.json", {"answers": [asdict(found) for found in _answers(options.queries, outcome, tell)]}
            )
        save_copy(folder / f"{bpy.path.clean_name(outcome.scene.name)}.blend")
    return outcome


def _answers(queries: Sequence[str], outcome: Outcome, tell: Callable[[jobs.Step], None] | None) -> Iterator[Found]:
    result = next(result for result in find_results(bpy.context.scene) if result.id == outcome.result_id)
    for text in queries:
        yield jobs.run_to_end(ask_result(bpy.context, result, text, "", "object", None, show=False), tell)


def open_blend(path: Path) -> None:
    """Open a .blend; a missing or damaged one raises InvalidFile."""
    if not path.is_file():
        raise InvalidFile(f"There is no file '{path}'.", "Check the path.")
    try:
        bpy.ops.wm.open_mainfile(filepath=str(path.resolve()), load_ui=False)
    except RuntimeError as error:
        raise InvalidFile(f"'{path}' cannot be opened: {str(error).strip()}") from error


def save_copy(path: Path) -> None:
    """Write the open file under another name; a folder or disk that refuses it raises InvalidFile."""
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True, compress=True, relative_remap=True)
    except RuntimeError as error:
        raise InvalidFile(
            f"'{path}' cannot be written: {str(error).strip()}", "Choose another folder, or make room."
        ) from error
