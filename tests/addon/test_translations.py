# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogues say all that the add-on says, nothing else, and the same; what they say is what people see."""

import re
import string

import bpy
import pytest
import splatonym
from splatonym.addon import translations

from .ui_texts import collected

LANGUAGES = {"de": "de_DE", "ja": "ja_JP"}
SAME_EVERYWHERE = {
    "Splatonym", "Blender", "Python", "uv", "torch", "gsplat", "SAM", "CPU", "JSON", "Markdown", "Cycles", "EEVEE", "Workbench",
    "Ade20K", "Nyu40", "Scannet20", "{size} MB", "pip",
    "red chair, not armchair",  # the models know English words
}  # fmt: skip
"""Names, and what is written the same way in every language."""
SAME_IN = {
    "de": {
        "Auto", "Detail", "Engine", "Format", "Indoor", "Labels", "Name", "Server", "Start", "Text", "Threads", "{seconds} s",
        "Version {version}, Python {python}",
    },
    "ja": set(),
}  # fmt: skip
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


@pytest.fixture(scope="module")
def texts():
    """Every text that is shown, with a place."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    splatonym.register()
    wrong = []
    found = collected(wrong)
    splatonym.unregister()
    return found, wrong


@pytest.fixture(params=sorted(LANGUAGES))
def language(request):
    return request.param


@pytest.fixture
def lines(language):
    return translations.catalogue(language)


def english(line):
    return line.removeprefix(translations.BUTTON)


def fields(text):
    """The values that a text has room for, with how they are written; unnamed ones by their number."""
    return sorted((name, form, turned) for _text, name, form, turned in string.Formatter().parse(text) if name is not None)


def test_the_collector_finds_what_is_there(texts):
    found, _wrong = texts
    for text in ("Predict Labelled Gaussians", "Views", "Capture", "refine colour", "Select Points", "Server Python", "{time} left",
                 "Which cameras see the scene", "The selected cameras", "Class Colour", "No camera selected"):  # fmt: skip
        assert text in found
    assert len(found) > 400


def test_every_text_can_be_translated(texts):
    _found, wrong = texts
    assert not wrong, (
        "these are put together before anybody could translate them; write _('... {name}').format(name=...):\n"
        + "\n".join(wrong)
    )


def test_no_text_has_spaces_around_it_or_line_breaks(texts):
    found, _wrong = texts
    assert not {text: place for text, place in found.items() if text != text.strip() or "\n" in text or "  " in text}


def test_there_is_a_catalogue_for_each_language():
    assert set(translations.LANGUAGES) == set(LANGUAGES)


def test_every_text_is_translated(texts, language, lines):
    found, _wrong = texts
    missing = {text: place for text, place in found.items() if text not in lines}
    assert not missing, f"addon/translations/{language}.json lacks {missing}"


def test_no_line_is_left_over(texts, language, lines):
    found, _wrong = texts
    left = [line for line in lines if english(line) not in found]
    assert not left, f"addon/translations/{language}.json still has {left}"


def test_the_lines_are_sorted(lines):
    assert list(lines) == sorted(lines)


def test_values_have_room_in_the_translation(lines):
    assert not {line: text for line, text in lines.items() if fields(english(line)) != fields(text)}


def test_nothing_is_left_in_english(language, lines):
    same = {english(line) for line, text in lines.items() if english(line) == text}
    assert same <= SAME_EVERYWHERE | SAME_IN[language], same - SAME_EVERYWHERE - SAME_IN[language]
    if language == "ja":
        worded = {line: re.sub(r"\{[^}]*\}", "", text) for line, text in lines.items() if line not in SAME_EVERYWHERE}
        assert not [line for line, text in worded.items() if re.search("[a-z]", text) and not JAPANESE.search(text)]


def test_sentences_end_as_they_do_in_english(lines):
    """A tooltip without full stop gets none; what opens a dialog keeps its dots."""
    ends = {".": ".。", "?": "?？", "...": "..."}
    for line, text in lines.items():
        end = "..." if line.endswith("...") else line[-1] if line[-1] in ends else ""
        if end:
            assert text.endswith(tuple(ends[end]) if end != "..." else end), (line, text)
        else:
            assert not text.endswith((".", "。", "?", "？")), (line, text)


def test_buttons_are_short_enough_for_a_narrow_sidebar(texts, lines):
    """Names of operators and properties: at most twice as long as in English, and 40 letters."""
    for line, text in lines.items():
        if len(english(line)) <= 20:
            assert len(text) <= max(40, 2 * len(english(line))), (line, text)


def test_every_context_of_blender_is_served(lines):
    found = translations.messages(lines)
    for context in ("*", "Operator", translations.CONTEXT):
        assert {text for where, text in found if where == context} == {english(line) for line in lines}


def test_a_button_can_have_a_word_of_its_own():
    found = translations.messages({"Open": "offen", "Operator|Open": "Öffnen"})
    assert found["*", "Open"] == "offen" and found["Operator", "Open"] == "Öffnen"


@pytest.mark.parametrize(
    "text",
    ["", "View.000 (1 of 10)", "Büro (2 of 3); the window waits: no", "camera 3 of 12", "12,345", "{odd} name", "Chair.001"],
)
def test_what_a_step_says_is_the_same_in_english(text):
    assert translations.step_text(text) == text


def test_stages_begin_with_a_capital_letter():
    assert [translations.stage_name(name) for name in ("refine colour", "Capture", "uv", "")] == [
        "Refine colour",
        "Capture",
        "uv",
        "",
    ]


@pytest.fixture
def speak():
    """Have Blender speak a language; English again afterwards."""
    view = bpy.context.preferences.view
    if not bpy.app.translations.locales:
        pytest.skip("this Blender was built without languages; tests/gui/test_languages.py asks one that has them")

    def switch(locale):
        view.language = locale
        view.use_translate_interface = view.use_translate_tooltips = True

    yield switch
    view.language = "DEFAULT"


def test_translations_are_what_blender_says(speak, language, lines):
    splatonym.register()
    try:
        speak(LANGUAGES[language])
        assert (
            bpy.app.translations.pgettext_iface("Predict Labelled Gaussians", "Operator") == lines["Predict Labelled Gaussians"]
        )
    finally:
        splatonym.unregister()
    assert bpy.app.translations.pgettext_iface("Predict Labelled Gaussians", "Operator") == "Predict Labelled Gaussians"
