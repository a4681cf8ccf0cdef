# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of a text: labels do not wrap by themselves. No bpy.

Between words there are spaces, except where a script has none: Japanese and Chinese may break before each character but those that end
something, and their characters are as wide as two letters.
"""

from __future__ import annotations

import re
import unicodedata

_OPENING, _CLOSING = "「『（［【", "」』）］】、。，．：；！？ーぁぃぅぇぉっゃゅょァィゥェォッャュョ々"
_WIDE = "\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef"
_PIECE = re.compile(rf"[{_OPENING}]*[{_WIDE}][{_CLOSING}]*|[^\s{_WIDE}]+[{_CLOSING}]*")


def width_of(text: str) -> int:
    """How many letters' room a text takes."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most so many letters; what is longer in one piece, a path, is cut."""
    lines, end = [""], 0
    for piece in _PIECE.finditer(text):
        gap = " " if text[end : piece.start()] and lines[-1] else ""
        end, whole = piece.end(), piece.group()
        if lines[-1] and width_of(lines[-1] + gap + whole) > width:
            lines.append("")
            gap = ""
        lines[-1] += gap + whole
        while width_of(lines[-1]) > max(width, 2) and len(lines[-1]) > width:
            lines[-1:] = [lines[-1][:width], lines[-1][width:]]
    return lines
