# SPDX-License-Identifier: GPL-3.0-or-later
"""Every button is an operator that a script can use and a person can find: typed, described, searchable, undoable."""

import re

import bpy
import pytest
import splatonym
from splatonym.addon import operators

NOT_UNDOABLE = {
    "cancel": "ends a job; what a job changes, its own operator's step undoes",
    "what_is_this": "only says something",
    "what_are_these_points": "only says something",
    "save_class_preset": "writes into the user's folder",
    "remove_class_preset": "removes from the user's folder",
    "export_ply": "writes a file outside of the .blend",
    "save_report": "writes a file outside of the .blend",
    "fetch_model": "fetches weights into the user's cache",
    "setup_server": "changes the user's folder and preferences",
    "use_existing_python": "changes the preferences",
    "repair_server": "changes the user's folder",
    "remove_server": "changes the user's folder and preferences",
    "allow_online": "changes the preferences",
    "open_log": "opens a file in another program",
    "load_demo_room": "opens another file, which begins a history of its own",
}
"""Operators without UNDO, and why."""
MORE_NOT_UNDOABLE = {"live": "turns drawing in the viewport on and off; nothing of the file changes"}
"""The same for operators whose names begin so."""
SMALL_WORDS = {"a", "an", "and", "as", "by", "for", "from", "in", "is", "of", "on", "or", "the", "to", "with", "this"}


def classes():
    return {cls.bl_idname.partition(".")[2]: cls for cls in operators.CLASSES if issubclass(cls, bpy.types.Operator)}


def names():
    return sorted(classes())


@pytest.fixture(scope="module")
def kinds():
    """What Blender knows of the registered operators, by name."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    splatonym.register()
    yield {name: getattr(bpy.ops.splatonym, name).get_rna_type() for name in dir(bpy.ops.splatonym)}
    splatonym.unregister()


def properties(kind):
    return [prop for prop in kind.properties if prop.identifier != "rna_type"]


def test_all_operators_are_registered_and_none_twice(kinds):
    assert set(names()) <= set(kinds)
    assert len(operators.CLASSES) == len({cls.__name__ for cls in operators.CLASSES})


@pytest.mark.parametrize("name", names())
def test_the_tooltip_is_a_sentence_without_full_stop(kinds, name):
    tooltip = kinds[name].description
    assert len(tooltip) > 10 and not tooltip.rstrip().endswith("."), tooltip
    assert tooltip[0].isupper() and "\n" not in tooltip, tooltip


@pytest.mark.parametrize("name", names())
def test_the_label_is_in_title_case(kinds, name):
    words = kinds[name].name.split()
    assert words
    for place, word in enumerate(words):
        bare = re.sub(r"\W", "", word)
        assert not bare or not bare[0].isalpha() or bare[0].isupper() or (place and bare.lower() in SMALL_WORDS), words


def test_no_two_operators_have_the_same_label(kinds):
    labels = [kind.name for kind in kinds.values()]
    assert len(labels) == len(set(labels)), sorted(label for label in set(labels) if labels.count(label) > 1)


@pytest.mark.parametrize("name", names())
def test_what_changes_the_file_can_be_undone(kinds, name):
    options = getattr(classes()[name], "bl_options", set())
    excused = name in NOT_UNDOABLE or any(name.startswith(start) for start in MORE_NOT_UNDOABLE)
    assert ("UNDO" in options) != excused, (name, options)


def test_the_exceptions_are_there(kinds):
    assert set(NOT_UNDOABLE) <= set(kinds)
    assert all(any(name.startswith(start) for name in kinds) for start in MORE_NOT_UNDOABLE)


@pytest.mark.parametrize("name", names())
def test_what_is_done_stands_in_the_info_log(name):
    options = getattr(classes()[name], "bl_options", set())
    assert options & {"REGISTER", "INTERNAL"} or name in {"cancel", "open_log"}


@pytest.mark.parametrize("name", names())
def test_every_property_has_a_name_and_a_description(kinds, name):
    for prop in properties(kinds[name]):
        if prop.identifier in ("check_existing", "filepath") and prop.name and prop.description:
            continue  # of Blender's own file browser helper
        assert prop.name, (name, prop.identifier)
        assert prop.description and not prop.description.endswith("."), (name, prop.identifier, prop.description)
        if prop.type == "ENUM" and not prop.is_enum_flag:
            for item in prop.enum_items:
                assert item.name and not item.description.endswith("."), (name, prop.identifier, item.identifier)


@pytest.mark.parametrize("name", names())
def test_nothing_needs_a_window(kinds, name):
    """poll answers in the background; without results or selection it may say no, but it must not fail."""
    assert getattr(bpy.ops.splatonym, name).poll() in (True, False)
    assert callable(getattr(classes()[name], "execute", None)), "a script cannot run it"


def test_panel_values_are_asked_anew_each_time(kinds):
    """Properties that the panel has too are not remembered by Blender: else a button would do what it did the last time."""
    settings = {prop.identifier for prop in bpy.types.Scene.bl_rna.properties["splatonym"].fixed_type.properties}
    for name in ("predict", "describe", "relabel"):
        for prop in properties(kinds[name]):
            if prop.identifier in settings - {"rna_type", "name"}:
                assert prop.is_skip_save, (name, prop.identifier)
