# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentences in narrow panels, with spaces between words and without."""

from splatonym.addon.panels.wrapping import width_of, wrapped


def test_words_stay_whole():
    assert wrapped("One button brings what it needs.", 12) == ["One button", "brings what", "it needs."]


def test_a_word_that_is_too_long_is_cut():
    assert wrapped("see /a/very/long/path/to/python for more", 12) == ["see", "/a/very/long", "/path/to/pyt", "hon for more"]


def test_an_empty_text_is_one_empty_line():
    assert wrapped("", 20) == [""]
    assert wrapped("  ", 20) == [""]


def test_japanese_breaks_between_characters_and_nothing_is_lost():
    text = "必要なものは「ボタン」1 つで揃います。Splatonym はシーンのすべてのものに名前を付けます。"
    lines = wrapped(text, 20)
    assert len(lines) > 4 and all(width_of(line) <= 20 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_no_japanese_line_begins_with_what_ends_or_ends_with_what_begins():
    text = "まず「モデル」にこの結果を見せてください。その後は、何でも質問できます（ショッピングセンターでも）。"
    for width in range(4, 60):
        for line in wrapped(text, width):
            assert line[0] not in "」、。）ーっッョ" and line[-1] not in "「（", (width, line)


def test_spaces_inside_japanese_are_kept():
    assert wrapped("ポイント 12 個", 40) == ["ポイント 12 個"]
