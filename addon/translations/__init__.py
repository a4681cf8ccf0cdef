# SPDX-License-Identifier: GPL-3.0-or-later
"""What the add-on says in other languages: a JSON file for each, from the English text to the other.

Blender looks a text up by its context too: "Operator" for names of operators and for buttons that run one, "*" for most else, and our own
for titles of panels. Every text counts in all of them, unless a line "Operator|English" says another word for buttons. Where Blender has a
text itself, its own word goes first; in our own context it has none. `tests/addon/test_translations.py` tells which lines are missing, and
which are needed no more.
"""

from __future__ import annotations

import re
from pathlib import Path

import bpy
from bpy.app.translations import contexts, pgettext_iface

from ...core.files import read_json

FOLDER = Path(__file__).resolve().parent
LANGUAGES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))
"""As Blender abbreviates them: "de" serves de_DE and de_AT."""
BUTTON = "Operator|"
_NUMBER = re.compile(r"\d+")
_COUNTED = re.compile(r"(?P<name>.*) \((?P<number>\d+) of (?P<count>\d+)\)(?P<rest>.*)")
CONTEXT = "Splatonym"
"""The context that is ours alone."""


def catalogue(language: str) -> dict[str, str]:
    """The lines of a language as they stand in its file."""
    lines: dict[str, str] = read_json(FOLDER / f"{language}.json")
    return lines


def messages(lines: dict[str, str]) -> dict[tuple[str, str], str]:
    """A catalogue as Blender wants it: by context and English text."""
    found: dict[tuple[str, str], str] = {}
    for context in (contexts.default, contexts.operator_default, CONTEXT):
        found.update(((context, english), text) for english, text in lines.items() if not english.startswith(BUTTON))
    for english, text in lines.items():
        if english.startswith(BUTTON):
            found[contexts.operator_default, english.removeprefix(BUTTON)] = text
    return found


def ours(english: str) -> str:
    """A text in Blender's language, as we mean it: Blender's own sense of the words, as of "Views", does not count."""
    said: str = pgettext_iface(english, CONTEXT)
    return said


def stage_name(stage: str) -> str:
    """What a stage of work is called, with a capital letter, which the server's stages do not have."""
    said = ours(stage)
    return said if stage == "uv" else said[:1].upper() + said[1:]


def step_text(text: str) -> str:
    """What a step says beside its stage: "camera 3 of 12" by the line "camera {} of {}", "Window View (3 of 12)" by one for all names."""
    if (counted := _COUNTED.fullmatch(text)) is not None:
        return ours("{name} ({number} of {count})").format(**counted.groupdict()) + counted["rest"]
    pattern = _NUMBER.sub("{}", text)
    said = ours(pattern)
    return text if said == pattern else said.format(*_NUMBER.findall(text))


def register() -> None:
    bpy.app.translations.register(__name__, {language: messages(catalogue(language)) for language in LANGUAGES})


def unregister() -> None:
    bpy.app.translations.unregister(__name__)
