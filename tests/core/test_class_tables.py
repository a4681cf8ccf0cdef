# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables between label sets: complete, and into names that exist."""

from __future__ import annotations

import pytest
from splatonym.core.class_tables import translate
from splatonym.core.errors import NotAvailable
from splatonym.core.labels import UNLABELLED, preset

OTHERS = ["scannet20", "nyu40", "ade20k"]


@pytest.mark.parametrize("target", OTHERS)
@pytest.mark.parametrize("source", ["rooms", "indoor"])
def test_every_name_goes_to_a_name_of_the_other_set(source: str, target: str) -> None:
    table = translate(source, target)
    assert tuple(table) == preset(source).names
    assert set(table.values()) <= set(preset(target).names)
    assert table[UNLABELLED] == table["background"] == UNLABELLED


@pytest.mark.parametrize("target", OTHERS)
@pytest.mark.parametrize("name", ["wall", "floor", "door", "chair", "sofa", "table", "bed", "sink", "toilet", "bathtub"])
def test_what_is_called_the_same_stays(name: str, target: str) -> None:
    assert translate("rooms", target)[name] == name


@pytest.mark.parametrize(
    ("target", "name", "other"),
    [
        ("scannet20", "shelf", "bookshelf"),
        ("scannet20", "ceiling", UNLABELLED),
        ("scannet20", "tv", UNLABELLED),
        ("nyu40", "tv", "television"),
        ("nyu40", "rug", "floor mat"),
        ("nyu40", "small_object", "otherprop"),
        ("ade20k", "window", "windowpane"),
        ("ade20k", "picture", "painting"),
        ("ade20k", "small_object", UNLABELLED),
    ],
)
def test_other_names(target: str, name: str, other: str) -> None:
    assert translate("rooms", target)[name] == other


def test_a_set_into_itself_changes_nothing() -> None:
    assert all(name == other for name, other in translate("nyu40", "nyu40").items())
    assert all(name == other for name, other in translate("rooms", "indoor").items())


@pytest.mark.parametrize(("source", "target"), [("nyu40", "ade20k"), ("scannet20", "rooms")])
def test_a_missing_table_is_refused(source: str, target: str) -> None:
    with pytest.raises(NotAvailable, match="no table"):
        translate(source, target)


def test_ade20k_has_the_names_of_the_benchmark() -> None:
    names = preset("ade20k").names
    assert len(names) == 151
    assert names[0] == "wall"
    assert names[149] == "flag"
    assert [names.index(n) for n in ("bed", "television receiver", "clock")] == [7, 89, 148]
