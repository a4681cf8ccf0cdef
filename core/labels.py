# SPDX-License-Identifier: GPL-3.0-or-later
"""Label sets: which classes there are, what they are also called, and their colours.

A label's id is its place in the list. Every set contains "unlabelled", for what nobody named.
"""

from __future__ import annotations

import colorsys
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .errors import InvalidInput, NotAvailable

UNLABELLED = "unlabelled"
NOTHING = 255
"""What a class picture holds where there is no Gaussian; so a label set has at most 255 names."""

_PRESET_FOLDER = Path(__file__).parent / "presets"
_LINKING_WORDS = {"with", "of", "for", "on", "in", "from", "by", "and", "without"}


@dataclass(frozen=True)
class LabelMap:
    """Names by id, with synonyms (name -> other words for it)."""

    names: tuple[str, ...]
    synonyms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            twice = next(n for n in self.names if self.names.count(n) > 1)
            raise InvalidInput(f"The label '{twice}' stands twice in the label set.", "Name each label once.")
        if any(not n or n != n.strip() or any(ord(c) < 32 for c in n) for n in self.names):
            raise InvalidInput("A label name is empty or has stray white space.", "Give each label a plain name.")
        if UNLABELLED not in self.names:
            object.__setattr__(self, "names", (*self.names, UNLABELLED))
        if len(self.names) > NOTHING:
            raise InvalidInput(f"A label set of {len(self.names)} names is too long.", f"Use at most {NOTHING - 1}.")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def unlabelled(self) -> int:
        """The id of "unlabelled"."""
        return self.names.index(UNLABELLED)

    def id_of(self, name: str) -> int:
        """The id of a name; an unknown name raises NotAvailable with the names there are."""
        try:
            return self.names.index(name)
        except ValueError:
            raise NotAvailable(f"There is no label '{name}'.", f"Labels: {', '.join(self.names)}.") from None

    def with_names(self, names: Iterable[str]) -> LabelMap:
        """This set with the names that are missing appended, ids of the others unchanged."""
        new = [n for n in dict.fromkeys(names) if n not in self.names]
        return LabelMap((*self.names, *new), self.synonyms)

    @property
    def colours(self) -> npt.NDArray[np.uint8]:
        """[C, 3] uint8 sRGB, a colour for each label: the same name has the same colour in every set of any order."""
        return np.array([label_colour(name) for name in self.names], dtype=np.uint8)

    def match(self, name: str) -> str | None:
        """The label that an object's name speaks of, or None.

        English compounds name the thing last ("desk lamp" is a lamp, "TV cabinet" a cabinet), and what follows "with" or "of"
        only describes it. So the match that ends last wins, then the longest.
        """
        words = split_words(name)
        for label in self.names:  # "chest of drawers" is a name as a whole
            if words and label != UNLABELLED and words == split_words(label):
                return label
        for place, word in enumerate(words):
            if place and word in _LINKING_WORDS:
                words = words[:place]
                break
        best: tuple[int, int, str] | None = None
        for label in self.names:
            if label == UNLABELLED:
                continue
            for term in (label, *self.synonyms.get(label, ())):
                parts = split_words(term)
                for start in range(len(words) - len(parts) + 1 if parts else 0):
                    if all(map(_same_word, words[start : start + len(parts)], parts)):
                        found = (start + len(parts), len(parts), label)
                        if best is None or found[:2] > best[:2]:
                            best = found
        return best[2] if best else None


def split_words(name: str) -> list[str]:
    """ "OfficeChair_02.001" -> ["office", "chair"]: words in lower case, numbers and Blender's suffix left out."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})", " ", name)
    return [word.lower() for word in re.findall(r"[^\W\d_]+", spaced)]


def _same_word(word: str, term: str) -> bool:
    """Equal, or equal but for a plural ending."""
    return word == term or word == term + "s" or word == term + "es" or term == word + "s"


def label_colour(name: str) -> tuple[int, int, int]:
    """The sRGB colour (0..255) of a label: fixed for the known presets' names, derived from the letters for others."""
    if name == UNLABELLED:
        return (128, 128, 128)
    known = _known_colours()
    if name in known:
        return known[name]
    mixed = 2166136261
    for letter in name.encode("utf-8"):  # FNV-1a: stable between runs, unlike hash()
        mixed = ((mixed ^ letter) * 16777619) & 0xFFFFFFFF
    return _hsv(mixed % 360 / 360, 0.45 + (mixed >> 9) % 40 / 100, 0.65 + (mixed >> 17) % 30 / 100)


def _hsv(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _known_colours() -> dict[str, tuple[int, int, int]]:
    """Hues of the default preset's labels, spread by the golden ratio so that neighbours in the list differ."""
    global _colour_cache
    if _colour_cache is None:
        names = [n for n in preset("indoor").names if n != UNLABELLED]
        _colour_cache = {
            name: _hsv(place * 0.61803399 % 1, (0.75, 0.5, 0.9)[place % 3], (0.95, 0.8, 0.65)[place // 3 % 3])
            for place, name in enumerate(names)
        }
    return _colour_cache


_colour_cache: dict[str, tuple[int, int, int]] | None = None


def preset_names() -> list[str]:
    """The label sets that ship with the project."""
    return sorted(path.stem for path in _PRESET_FOLDER.glob("*.json"))


def preset(name: str) -> LabelMap:
    """A label set by name, for example "indoor"; see `preset_names`."""
    if name not in preset_names():
        raise NotAvailable(f"There is no label set '{name}'.", f"Label sets: {', '.join(preset_names())}.")
    content = json.loads((_PRESET_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return from_entries(content["labels"])


def from_entries(entries: Sequence[Mapping[str, object]]) -> LabelMap:
    """A label set from [{"name": ..., "synonyms": [...]}, ...], as in the preset files."""
    names = tuple(str(entry["name"]) for entry in entries)
    synonyms: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        words = entry.get("synonyms", ())
        assert isinstance(words, (list, tuple))
        synonyms[str(entry["name"])] = tuple(str(word) for word in words)
    return LabelMap(names, synonyms)


def from_text(text: str) -> LabelMap:
    """A list as a person types it: "chair, sofa = couch | settee, lamp". Names given twice, or none at all, raise InvalidInput."""
    entries = [part.partition("=") for part in text.replace("\n", ",").split(",") if part.strip()]
    names = [name.strip() for name, _, _ in entries]
    if not [name for name in names if name != UNLABELLED]:
        raise InvalidInput("The list of names is empty.", "Type what is in the scene: chair, table, lamp.")
    lowered = [name.lower() for name in names]
    if twice := next((name for name in names if lowered.count(name.lower()) > 1), None):
        raise InvalidInput(f"The name '{twice}' stands twice in the list.", "Name each thing once.")
    words = {
        name.strip(): tuple(word.strip() for word in more.split("|") if word.strip())
        for name, equals, more in entries
        if equals
    }
    return LabelMap(tuple(names), words)
