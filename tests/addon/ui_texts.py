# SPDX-License-Identifier: GPL-3.0-or-later
"""Every text of the add-on that Blender shows translated: what is registered with Blender says some, the source says the others.

    .venv-blender/bin/python tests/addon/ui_texts.py      tells what the catalogues lack, and which of their lines nothing needs any more

(It looks for the package `splatonym` as the tests do.)
"""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import bpy

ROOT = Path(__file__).resolve().parents[2]
ADDON, SERVER = ROOT / "addon", ROOT / "server"
SERVER_ALONE = {"cli.py", "cli_semantics.py", "doctor.py", "evaluation.py", "results.py", "terminal.py", "training"}
"""Parts of the server that the add-on never waits for."""
TERMINAL = ADDON / "command.py"
"""What the Blender command says is for a terminal, where nothing else is translated either."""
SHOWN = {"text", "heading", "placeholder", "confirm_text", "title", "message"}
"""Keywords of layout functions and dialogs whose values are shown."""
TAKES_NO_TEXT = {"told", "query", "ask", "run"}
"""Functions with such a keyword that show nothing, or words of the person's own."""
FIRST = {
    "_",
    "ours",
    "n_",
    "pgettext_iface",
    "pgettext_tip",
    "pgettext_rpt",
    "pgettext_n",
    "poll_message_set",
    "status_text_set",
}
"""Functions whose first argument is shown, translated by them or by Blender."""
SECOND = {"draw_wrapped"}
SECOND_IF_PLAIN = {"report", "told"}
"""The same for what may hold values: only where it is a plain sentence is it translated."""
ERRORS = {"InvalidInput", "InvalidFile", "NotAvailable"}
"""The panels translate message and hint of an error where both are plain sentences."""
Places = dict[str, str]
"""Texts, each with a place where it is said."""


def is_text(text: str) -> bool:
    return any(letter.isalpha() for letter in text)


# What is registered


def registered() -> Places:
    """Names and tooltips of all that is registered: operators, panels, menus, lists, and properties with their choices."""
    found: Places = {}
    for cls in _classes():
        own = [base for base in cls.__mro__ if ".addon" in base.__module__]
        for label in ("bl_label", "bl_description"):
            _add(found, getattr(cls, label, ""), cls.__name__)
        if issubclass(cls, bpy.types.Operator | bpy.types.Menu | bpy.types.Panel):  # their docstring is their tooltip
            _add(found, next((doc for base in own if (doc := base.__dict__.get("__doc__"))), ""), cls.__name__)
        _add_properties(found, cls, {key for base in own for key in inspect.get_annotations(base)})
    for name in dir(bpy.types):  # and what is added to Blender's own types
        kind = getattr(bpy.types, name)
        if isinstance(kind, type) and issubclass(kind, bpy.types.ID):
            _add_properties(
                found, kind, {prop.identifier for prop in kind.bl_rna.properties if prop.identifier.startswith("splatonym")}
            )
    return found


def _classes() -> list[type]:
    """The add-on's registered classes."""
    kinds = (
        bpy.types.Operator,
        bpy.types.Panel,
        bpy.types.Menu,
        bpy.types.UIList,
        bpy.types.PropertyGroup,
        bpy.types.AddonPreferences,
    )
    found: dict[type, None] = {}
    waiting = list(kinds)
    while waiting:
        for cls in waiting.pop().__subclasses__():
            waiting.append(cls)
            if ".addon" in cls.__module__ and "splatonym" in cls.__module__ and cls.is_registered:
                found[cls] = None
    return sorted(found, key=lambda cls: cls.__name__)


def _add_properties(found: Places, cls: type, names: set[str]) -> None:
    kind = cls.bl_rna
    if issubclass(cls, bpy.types.Operator):
        namespace, _dot, name = cls.bl_idname.partition(".")
        kind = getattr(getattr(bpy.ops, namespace), name).get_rna_type()
    for prop in {prop.identifier: prop for prop in kind.properties if prop.identifier in names}.values():
        _add_property(found, prop, f"{cls.__name__}.{prop.identifier}")  # the last of a name: a class's own


def _add_property(found: Places, prop: bpy.types.Property, place: str) -> None:
    if prop.is_hidden or prop.type in ("POINTER", "COLLECTION"):  # a group has no button of its own
        return
    _add(found, prop.name, place)
    _add(found, prop.description, place)
    if prop.type == "ENUM":
        for item in (*prop.enum_items_static, *prop.enum_items):
            _add(found, item.name, f"{place}={item.identifier}")
            _add(found, item.description, f"{place}={item.identifier}")


def _add(found: Places, text: str | None, place: str) -> None:
    if text and is_text(text):
        found.setdefault(text, place)


# What the source says


def sources() -> list[Path]:
    """The add-on's files, and the server's that name stages of work the add-on waits for."""
    server = [path for path in SERVER.rglob("*.py") if not SERVER_ALONE & set(path.relative_to(SERVER).parts)]
    return sorted([*(path for path in ADDON.rglob("*.py") if path != TERMINAL), *server])


def in_source(wrong: list[str] | None = None) -> Places:
    """Texts of layouts and dialogs, arguments of `_()`, and the stages of work; what cannot be translated is appended to `wrong`."""
    found: Places = {}
    for path in sources():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = _constants(tree)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            for value in _shown(node) if ADDON in path.parents else _stage(node):
                place = f"{path.relative_to(ROOT)}:{value.lineno}"
                for part in _parts(value):
                    if isinstance(part, ast.Name):
                        part = constants.get(part.id, part)
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        _add(found, part.value, place)
                    elif isinstance(part, ast.JoinedStr) and wrong is not None:
                        wrong.append(f"{place}: {ast.unparse(part)}")
    return found


def _shown(call: ast.Call) -> Iterator[ast.expr]:
    """The arguments of a call that Blender shows translated."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    keywords = {word.arg: word.value for word in call.keywords}
    if name in FIRST:
        yield from call.args[:1]
    elif name == "Step":
        yield from (*call.args[:1], *map(_pattern, call.args[2:3]))
    elif name in SECOND:
        yield from call.args[1:2]
    elif name in SECOND_IF_PLAIN:
        yield from (value for value in call.args[1:2] if isinstance(value, ast.Constant))
    elif name in ERRORS:
        yield from call.args[:2] if all(isinstance(value, ast.Constant) for value in call.args) else ()
    elif name not in TAKES_NO_TEXT and not name[:1].isupper():
        as_it_is = keywords.get("translate")
        if not (isinstance(as_it_is, ast.Constant) and as_it_is.value is False):
            yield from (value for word, value in keywords.items() if word in SHOWN)


def _stage(call: ast.Call) -> list[ast.expr]:
    """What the server calls a stage of its work, and what it says inside one."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    return call.args[:1] if name == "stage" else [*map(_pattern, call.args[1:2])] if name == "progress" else []


def _pattern(said: ast.expr) -> ast.expr:
    """What a step says, as its translation is looked up: with {} for numbers. What begins with a name has a pattern for all names."""
    if not isinstance(said, ast.JoinedStr):
        return said
    text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in said.values)
    return ast.copy_location(ast.Constant("" if text.startswith("{} (") else text), said)


def _parts(value: ast.expr) -> Iterator[ast.expr]:
    """What an expression may be: both sides of `a if x else b` and `a or b`."""
    if isinstance(value, ast.IfExp):
        yield from (*_parts(value.body), *_parts(value.orelse))
    elif isinstance(value, ast.BoolOp):
        for part in value.values:
            yield from _parts(part)
    else:
        yield value


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    """Values of names that the module gives once, at its top."""
    return {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
    }


def collected(wrong: list[str] | None = None) -> Places:
    """All of it; the add-on is registered."""
    return {**in_source(wrong), **registered()}


if __name__ == "__main__":
    import json

    import splatonym
    from splatonym.addon import translations

    splatonym.register()
    unfit: list[str] = []
    texts = collected(unfit)
    splatonym.unregister()
    for language in translations.LANGUAGES or ("de", "ja"):
        lines = (
            {line.removeprefix(translations.BUTTON) for line in translations.catalogue(language)}
            if translations.LANGUAGES
            else set()
        )
        print(
            language,
            "lacks",
            json.dumps({text: texts[text] for text in texts if text not in lines}, indent=0, ensure_ascii=False),
        )
        print(language, "needs no more", json.dumps(sorted(lines - set(texts)), indent=0, ensure_ascii=False))
    print("not translatable:", *unfit, sep="\n")
