# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/API.md lists every operator and every setting as Blender knows them.

Run as a script, `.venv-blender/bin/python tests/addon/test_api_docs.py`, this file writes the lists; as a test it compares.
"""

import re
from pathlib import Path

import bpy
import splatonym

PAGE = Path(__file__).resolve().parents[2] / "docs" / "API.md"
GROUPS = {
    "scene.splatonym": "Views and Predict",
    "scene.splatonym_plan": "Place Cameras",
    "scene.splatonym_question": "Ask",
    "scene.splatonym_output": "Output",
    "scene.splatonym_live": "Live View",
}
BLENDERS_OWN = {"rna_type", "check_existing", "filter_glob"}


def properties(kind):
    return [prop for prop in kind.properties if prop.identifier not in BLENDERS_OWN and not prop.is_hidden]


def operators_table():
    lines = ["| operator | search name | what it does | properties |", "|---|---|---|---|"]
    for name in sorted(dir(bpy.ops.splatonym)):
        kind = getattr(bpy.ops.splatonym, name).get_rna_type()
        known = ", ".join(f"`{prop.identifier}`" for prop in properties(kind))
        lines.append(f"| `splatonym.{name}` | {kind.name} | {kind.description} | {known} |")
    return "\n".join(lines)


def properties_table():
    lines = ["| where | panel | properties |", "|---|---|---|"]
    for path, panel in GROUPS.items():
        kind = bpy.types.Scene.bl_rna.properties[path.partition(".")[2]].fixed_type
        # Every group has a property `name`.
        known = ", ".join(f"`{prop.identifier}`" for prop in properties(kind) if prop.identifier != "name")
        lines.append(f"| `{path}` | {panel} | {known} |")
    return "\n".join(lines)


def with_tables(text):
    """The page with its lists as they should be."""
    for mark, table in (("operators", operators_table()), ("properties", properties_table())):
        text, count = re.subn(
            rf"(<!-- {mark}: [^\n]* -->\n).*?(<!-- end -->)",
            lambda found, t=table: f"{found[1]}{t}\n{found[2]}",
            text,
            flags=re.S,
        )
        assert count == 1, mark
    return text


def test_the_lists_are_what_blender_knows(blank):
    splatonym.register()
    try:
        text = PAGE.read_text(encoding="utf-8")
        wanted = with_tables(text)
    finally:
        splatonym.unregister()
    missing = sorted(set(wanted.splitlines()) - set(text.splitlines()))
    stale = sorted(set(text.splitlines()) - set(wanted.splitlines()))
    assert text == wanted, f"run `python {Path(__file__).name}`; missing: {missing[:3]}; stale: {stale[:3]}"


def test_all_settings_of_scenes_are_listed(blank):
    splatonym.register()
    try:
        groups = {
            f"scene.{prop.identifier}"
            for prop in bpy.types.Scene.bl_rna.properties
            if prop.type == "POINTER" and prop.identifier.startswith("splatonym")
        }
    finally:
        splatonym.unregister()
    assert groups == set(GROUPS)


if __name__ == "__main__":
    splatonym.register()
    try:
        PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    finally:
        splatonym.unregister()
