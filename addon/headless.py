# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole job for scripts: open a file, label it, write the results. The .blend that was opened stays as it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import bpy

from ..core.errors import InvalidFile, InvalidInput
from ..core.scene import write_json, write_scene
from . import jobs
from .labelling import LabelOptions, Outcome, label_cameras


@dataclass(frozen=True)
class HeadlessOptions:
    """What to label and where the results go.

    blend: file to open, or None for the one that is open. strict: write the PLY without labels.
    """

    out: Path
    label: LabelOptions
    blend: Path | None = None
    strict: bool = False


def label_file(options: HeadlessOptions, tell: Callable[[jobs.Step], None] | None = None) -> Outcome:
    """Label a file and write scene.ply, labels.json, report.json and NAME.blend into `options.out`."""
    check_folder(options.out)
    if options.blend is not None:
        open_blend(options.blend)
    outcome = jobs.run_to_end(label_cameras(bpy.context, options.label), tell)
    write_scene(options.out, outcome.scene, strict=options.strict)
    write_json(options.out / "report.json", outcome.report)
    save_copy(options.out / f"{bpy.path.clean_name(outcome.scene.name)}.blend")
    return outcome


def open_blend(path: Path) -> None:
    """Open a .blend; a missing or damaged one raises InvalidFile."""
    if not path.is_file():
        raise InvalidFile(f"There is no file '{path}'.", "Check the path.")
    try:
        bpy.ops.wm.open_mainfile(filepath=str(path.resolve()), load_ui=False)
    except RuntimeError as error:
        raise InvalidFile(f"'{path}' cannot be opened: {str(error).strip()}") from error


def save_copy(path: Path) -> None:
    """Write the open file under another name; the name appears only once the file is whole."""
    beside = path.with_name(f".{path.name}")
    bpy.ops.wm.save_as_mainfile(filepath=str(beside), copy=True, compress=True, relative_remap=True)
    beside.replace(path)


def check_folder(folder: Path) -> None:
    """Make an output folder and see that it can be written, before any work is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".splatonym-probe"
        probe.write_bytes(b"")
        probe.unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise InvalidInput(f"The folder '{folder}' cannot be written: {error.strerror}.", "Choose another one.") from error
    if free < 64 << 20:
        raise InvalidInput(f"The disk of '{folder}' is almost full ({free >> 20} MB free).", "Make room or choose another one.")
