# SPDX-License-Identifier: GPL-3.0-or-later
"""Panels are drawn in windows only, and windows are only of one Blender: what they call is held against the layout of every version."""

import ast
from pathlib import Path

import bpy
import pytest

ADDON = Path(__file__).resolve().parents[2] / "addon"
FILES = sorted([*(ADDON / "panels").glob("*.py"), *(ADDON / "operators").glob("*.py"), ADDON / "preferences.py"])
LAYOUTS = {
    "layout", "row", "column", "box", "body", "header", "flow", "again", "big", "inside", "numbers", "score", "swatch", "tools",
    "button", "told", "line", "split", "count",
}  # fmt: skip
FUNCTIONS = bpy.types.UILayout.bl_rna.functions
ICONS = set(FUNCTIONS["label"].parameters["icon"].enum_items.keys())


def is_layout(node):
    return (isinstance(node, ast.Name) and node.id in LAYOUTS) or (isinstance(node, ast.Attribute) and node.attr == "layout")


def calls(path):
    """(line, function, keywords, icons) of each call of a layout."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and is_layout(node.func.value):
            named = {word.arg: word.value for word in node.keywords if word.arg}
            icon = named.get("icon")
            names = {part.value for part in ast.walk(icon) if isinstance(part, ast.Constant)} if icon is not None else set()
            yield node.lineno, node.func.attr, set(named), {name for name in names if isinstance(name, str) and name.isupper()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_layouts_know_what_panels_ask_of_them(path):
    for line, name, words, icons in calls(path):
        if name in ("append", "remove", "popup_menu"):
            continue
        assert name in FUNCTIONS or hasattr(bpy.types.UILayout, name), f"{path.name}:{line}: no layout.{name}"
        if name in FUNCTIONS:
            unknown = words - set(FUNCTIONS[name].parameters.keys())
            assert not unknown, f"{path.name}:{line}: layout.{name} has no {unknown} in Blender {bpy.app.version_string}"
        assert icons <= ICONS | {"NONE"}, f"{path.name}:{line}: no icon {icons - ICONS}"


def test_there_is_something_to_look_at():
    assert sum(len(list(calls(path))) for path in FILES) > 150
