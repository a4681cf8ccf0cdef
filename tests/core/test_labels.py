# SPDX-License-Identifier: GPL-3.0-or-later
"""Label sets: ids, presets, colours, and what objects' names are taken for."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from splatonym.core.errors import InvalidInput, NotAvailable
from splatonym.core.labels import (
    UNLABELLED,
    LabelMap,
    from_entries,
    from_text,
    label_colour,
    preset,
    preset_names,
    split_words,
)

plain_names = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=8).filter(
    lambda name: name == name.strip()
)


@given(st.lists(plain_names, unique=True, max_size=30))
def test_an_id_is_the_place_in_the_list(names: list[str]) -> None:
    labels = LabelMap(tuple(names))
    assert labels.names[: len(names)] == tuple(names)
    assert all(labels.id_of(name) == place for place, name in enumerate(names))
    assert labels.names[labels.unlabelled] == UNLABELLED
    assert len(labels.colours) == len(labels) == len(names) + (UNLABELLED not in names)


def test_unlabelled_keeps_its_place() -> None:
    assert LabelMap(("a", UNLABELLED, "b")).unlabelled == 1
    assert LabelMap(()).names == (UNLABELLED,)


def test_new_names_come_last_and_once() -> None:
    labels = LabelMap(("chair", "table")).with_names(["lamp", "chair", "lamp"])
    assert labels.names == ("chair", "table", UNLABELLED, "lamp")


@pytest.mark.parametrize("names", [("a", "a"), ("",), (" a",), ("a\nb",), tuple(f"n{k}" for k in range(255))])
def test_wrong_sets_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput):
        LabelMap(names)


def test_the_longest_set_fits_a_byte_picture() -> None:
    assert len(LabelMap(tuple(f"n{k}" for k in range(254)))) == 255


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(NotAvailable, match="sofaa") as caught:
        LabelMap(("sofa",)).id_of("sofaa")
    assert "sofa, unlabelled" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("OfficeChair_02.001", ["office", "chair"]),
        ("desk lamp", ["desk", "lamp"]),
        ("TVCabinet", ["tv", "cabinet"]),
        ("TVs", ["tvs"]),
        ("café-table", ["café", "table"]),
        ("椅子.003", ["椅子"]),
        ("42", []),
        ("", []),
    ],
)
def test_split_words(name: str, words: list[str]) -> None:
    assert split_words(name) == words


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("OfficeChair_02.001", "chair"),
        ("desk lamp", "lamp"),
        ("TV cabinet", "cabinet"),
        ("chair with cushion", "chair"),
        ("Chairs", "chair"),
        ("picture of a sofa", "picture"),
        ("couch.004", "sofa"),
        ("rocking chair", "chair"),
        ("Cube.012", None),
        ("unlabelled", None),
        ("", None),
        ("007", None),
    ],
)
def test_names_in_the_indoor_set(name: str, label: str | None) -> None:
    assert preset("indoor").match(name) == label


def test_labels_without_letters_match_nothing() -> None:
    assert LabelMap(("42", "lamp")).match("desk lamp") == "lamp"
    assert LabelMap(("42",)).match("anything") is None


def test_labels_of_any_script_match() -> None:
    assert LabelMap(("椅子", "стол")).match("стол.001") == "стол"


@pytest.mark.parametrize("name", preset_names())
def test_presets_load_and_name_themselves(name: str) -> None:
    labels = preset(name)
    assert UNLABELLED in labels.names
    for label in labels.names:
        if label != UNLABELLED and split_words(label):
            assert labels.match(label) == label


def test_there_are_the_presets_that_the_documentation_names() -> None:
    assert {"indoor", "nyu40", "scannet20"} <= set(preset_names())
    with pytest.raises(NotAvailable, match="outdoor"):
        preset("outdoor")


@given(plain_names)
def test_colours_are_bytes_and_depend_on_the_name_alone(name: str) -> None:
    colour = label_colour(name)
    assert all(isinstance(c, int) and 0 <= c <= 255 for c in colour)
    for labels in (LabelMap((name,)), LabelMap(("\U00010000", name))):
        assert tuple(labels.colours[labels.id_of(name)].tolist()) == colour


def test_colours_are_the_same_in_another_process() -> None:
    code = "from splatonym.core.labels import label_colour; print(label_colour('gondola'), label_colour('chair'))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert out == f"{label_colour('gondola')} {label_colour('chair')}"


def test_colours_of_the_indoor_set_differ() -> None:
    colours = preset("indoor").colours
    assert len({tuple(c) for c in colours.tolist()}) == len(colours)


def test_entries() -> None:
    labels = from_entries([{"name": "sofa", "synonyms": ["couch"]}, {"name": "lamp"}])
    assert labels.names[:2] == ("sofa", "lamp")
    assert labels.match("red couch") == "sofa"


def test_a_typed_list_is_a_label_set_with_other_words():
    found = from_text("chair, sofa = couch | settee,\nfloor lamp")
    assert found.names == ("chair", "sofa", "floor lamp", "unlabelled") and found.synonyms == {"sofa": ("couch", "settee")}


@pytest.mark.parametrize(
    "text, match", [("", "empty"), (" , ", "empty"), ("unlabelled", "empty"), ("chair, Chair", "'chair' stands twice")]
)
def test_a_typed_list_that_names_nothing_or_a_thing_twice_is_refused(text, match):
    with pytest.raises(InvalidInput, match=match):
        from_text(text)
