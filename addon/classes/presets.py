# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of names and colours for classes: those that ship with the project, and a person's own as JSON in the user's folder.

A file is like core/presets, with a colour more: {"labels": [{"name", "synonyms": [...], "colour": [r, g, b]}]}, sRGB from 0 to 255.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from ...core import labels as label_sets
from ...core.errors import InvalidFile, InvalidInput, NotAvailable
from ...core.files import write_json
from ...core.labels import NOTHING, UNLABELLED, LabelMap
from ..build import Result
from ..build.materials import linear
from ..build.objects import CLASS, point_objects
from ..preferences import user_folder
from . import edit, summary
from .active import groups_of
from .colours import RGB, class_colour, srgb
from .names import cleaned, read_names, same_name, write_names

_cache: tuple[int, list[str]] | None = None


def preset_list() -> tuple[list[str], list[str]]:
    """The names of the sets that ship, and of a person's own."""
    global _cache
    folder = _folder()
    changed = folder.stat().st_mtime_ns if folder.is_dir() else 0
    if _cache is None or _cache[0] != changed:  # menus are drawn often
        _cache = (changed, sorted(path.stem for path in folder.glob("*.json")))
    return label_sets.preset_names(), _cache[1]


def apply_preset(result: Result, name: str, *, names: bool = True, colours: bool = True) -> tuple[int, int]:
    """Call classes as a set calls them ("couch" becomes "sofa"), and colour them so; returns how many were renamed, and recoloured."""
    wanted, shades = read_preset(name)
    renamed = 0
    if names:
        for old in dict.fromkeys(str(group[CLASS]) for group in groups_of(result.collection)):
            new = same_name(wanted, old) or wanted.match(old)
            if old == UNLABELLED or new is None or new in (old, UNLABELLED):
                continue
            if same_name(read_names(result.collection)[0], new) and edit.occurring(result, new):
                edit.merge(result, old, new)
            else:
                edit.rename(result, old, new)
            renamed += 1
    recoloured = 0
    for group in groups_of(result.collection) if colours else ():
        if group[CLASS] in shades:
            red, green, blue = (linear(channel / 255) for channel in shades[group[CLASS]])
            edit.recolour(result, group[CLASS], (red, green, blue))
            recoloured += 1
    labels, instances = read_names(result.collection)
    if names and len({*labels.names, *wanted.names}) <= NOTHING:
        words = dict(labels.synonyms)
        for label in wanted.names:
            words.setdefault(label, wanted.synonyms.get(label, ()))
        write_names(result.collection, LabelMap(labels.with_names(wanted.names).names, words), instances)
    summary.forget()
    return renamed, recoloured


def save_preset(result: Result, name: str) -> str:
    """Keep the classes that occur, with their colours, as a set of one's own; returns its name."""
    name = re.sub(r'[\\/:*?"<>|]', "_", cleaned(name)).strip(". ")
    if not name or name in label_sets.preset_names():
        raise InvalidInput(f"The set '{name}' ships with Splatonym.", "Choose another name.")
    labels, _ = read_names(result.collection)
    entries = []
    for group in groups_of(result.collection):
        item = next(point_objects(group), None)
        if item is not None and group[CLASS] != UNLABELLED and group[CLASS] not in [entry["name"] for entry in entries]:
            words = list(labels.synonyms.get(group[CLASS], ()))
            entries.append({"name": group[CLASS], "synonyms": words, "colour": list(srgb(item.color))})
    if not entries:
        raise InvalidInput(f"'{result.name}' has no named classes.", "Name some points first.")
    write_json(_folder() / f"{name}.json", {"labels": entries})
    return name


def remove_preset(name: str) -> None:
    """Remove a set of one's own."""
    path = _folder() / f"{name}.json"
    if name not in preset_list()[1] or not path.is_file():
        raise NotAvailable(f"There is no set of your own called '{name}'.", "Those that ship with Splatonym stay.")
    path.unlink()


def read_preset(name: str) -> tuple[LabelMap, dict[str, RGB]]:
    """A set's names and colours, one's own before one that ships; a damaged file raises InvalidFile."""
    path = _folder() / f"{name}.json"
    if name not in preset_list()[1]:
        labels = label_sets.preset(name)
        return labels, {label: class_colour(label) for label in labels.names}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["labels"]
        labels = label_sets.from_entries(entries)
        shades = {str(entry["name"]): _colour(entry) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError, AssertionError, InvalidInput) as error:
        raise InvalidFile(f"'{path}' is not a set of names and colours: {error}.", "Save it again, or remove it.") from error
    return labels, shades


def _colour(entry: dict[str, object]) -> RGB:
    given = entry.get("colour")
    if given is None:
        return class_colour(str(entry["name"]))
    red, green, blue = (min(255, max(0, int(channel))) for channel in given)  # type: ignore[attr-defined]
    return red, green, blue


def _folder() -> Path:
    return user_folder("classes")
