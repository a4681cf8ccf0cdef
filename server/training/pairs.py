# SPDX-License-Identifier: GPL-3.0-or-later
"""Crops of rendered things with what is true of them: what a vision-language model learns from.

A crop knows all words that fit it (its name, its kind, other words for that) and its colour. A caption says some of that. So it is known of
every crop and every caption of a batch whether the one fits the other, also where they were not drawn together: two red chairs both fit "a
red chair", and nobody is told that one of them does not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from ...core.labels import split_words
from ..semantics.segments import oklab

COLOURS = {
    "white": (217, 217, 214), "black": (13, 13, 14), "grey": (115, 115, 117), "red": (184, 23, 20), "orange": (224, 115, 20),
    "yellow": (224, 199, 31), "green": (36, 128, 41), "turquoise": (26, 153, 153), "blue": (26, 56, 173), "purple": (107, 36, 140),
    "pink": (230, 122, 158), "brown": (89, 51, 26), "beige": (204, 178, 138),
}  # fmt: skip
"""Middle sRGB values of the colours that are spoken of."""
SURE_COLOUR = 0.55
"""Share of a thing's pixels that must be nearest to one colour for the thing to have it."""
LEAST_PIXELS = 350
STRUCTURE = ("wall", "floor", "ceiling")
CAPTIONS = (
    "{}", "a {}", "a photo of a {}.", "a {} in a room.", "a rendering of a {}.", "a close-up photo of a {}.", "there is a {} in the scene.",
    "the {}", "this is a {}.",
)  # fmt: skip
SAME = {
    "sofa": ("couch",), "couch": ("sofa",), "tv": ("television",), "rug": ("carpet",), "fridge": ("refrigerator",), "refrigerator": ("fridge",),
    "washbasin": ("sink",), "picture": ("painting",), "bookcase": ("bookshelf",), "wardrobe": ("closet",), "curtain": ("drape",),
    "laptop": ("computer",), "cooktop": ("stove",),
}  # fmt: skip
"""Words for the same thing. A class's other words will not do: an armchair is a chair, but a chair no armchair."""
_DESCRIPTIVE = {"little", "small", "large", "old", "apple", "type", "zones", "panes", "seats", "rounded", "square", "wall"}


@dataclass(frozen=True)
class Thing:
    """rgb: [H, W, 3] uint8, the thing and a margin around it. mask: [H, W] bool. words: all that fit, the most special first.
    colour: one of COLOURS, or None.
    """

    rgb: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]
    words: tuple[str, ...]
    colour: str | None
    held_out: bool


@dataclass(frozen=True)
class Caption:
    """text: what it says. word, colour: what of a thing it speaks of."""

    text: str
    word: str
    colour: str | None

    def fits(self, thing: Thing) -> float:
        """1 if it is true of the thing, 0 if not, nan if nobody knows."""
        if self.word not in thing.words:
            return 0.0
        if self.colour is None or self.colour == thing.colour:
            return 1.0
        return float("nan") if thing.colour is None else 0.0


def caption(thing: Thing, rng: np.random.Generator) -> Caption:
    """Something true of a thing: one of its words, with its colour half of the time that it has one."""
    word = thing.words[min(int(rng.geometric(0.5)) - 1, len(thing.words) - 1)]
    colour = thing.colour if rng.random() < 0.5 else None
    said = f"{colour} {word}" if colour else word
    return Caption(CAPTIONS[int(rng.integers(len(CAPTIONS)))].format(said), word, colour)


def words_of(name: str, kind: str) -> tuple[str, ...]:
    """ "Little lamp" of the class lamp -> ("little lamp", "lamp"): the whole name, its thing, its class, and other words for these."""
    plain = re.split(r"\b(?:with|and|of|on|in)\b|,| - ", name.lower())[0]
    parts = [word for word in split_words(plain) if len(word) > 1]
    whole = " ".join(parts)
    without = " ".join(word for word in parts if word not in _DESCRIPTIVE)
    found = [whole, without, *([parts[-1]] if parts else [])]
    if kind not in ("other", "small_object", "background"):
        found.append(kind.replace("_", " "))
    found += [other for word in found for other in SAME.get(word, ())]
    return tuple(dict.fromkeys(word for word in found if word))


def colour_of(rgb: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> str | None:
    """The colour that most of a thing's pixels are nearest to, None if there is no such one."""
    pixels = oklab(rgb[mask])
    centres = oklab(np.array(list(COLOURS.values()), np.uint8))
    pixels = pixels * np.array([0.6, 1, 1], np.float32)  # light and shade change the lightness
    centres = centres * np.array([0.6, 1, 1], np.float32)
    nearest = np.linalg.norm(pixels[:, None] - centres, axis=-1).argmin(1)
    counts = np.bincount(nearest, minlength=len(COLOURS))
    best = int(counts.argmax())
    return list(COLOURS)[best] if counts[best] >= SURE_COLOUR * len(pixels) else None


def read_objects(folder: Path) -> list[Thing]:
    """Things of scripts/dataset/objects.py."""
    found = []
    for path in sorted(folder.glob("object_*")):
        about = json.loads((path / "object.json").read_text(encoding="utf-8"))
        words = words_of(about["name"], about["class"])
        for view in about["views"]:
            rgb = np.asarray(Image.open(path / f"view_{view['view']:02d}.jpg"))
            mask = np.asarray(Image.open(path / f"mask_{view['view']:02d}.png")) > 127
            change = view["change"]
            colour = change if change in COLOURS else None if change == "wood" else colour_of(rgb, mask)
            more = (*words[:1], f"wooden {words[0]}", *words[1:]) if change == "wood" and words else words
            if words:
                found.append(Thing(*cut(rgb, mask), more, colour, about["held_out"]))
    return found


def read_rooms(folders: Iterable[Path], rng: np.random.Generator, structure: float = 0.1) -> list[Thing]:
    """Things in rendered rooms that show in at least LEAST_PIXELS pixels; of walls, floors and ceilings only some."""
    found = []
    for path in folders:
        about = json.loads((path / "labels.json").read_text(encoding="utf-8"))["instances"]
        for picture in sorted(path.glob("rgb_*.jpg")):
            index = np.asarray(Image.open(path / picture.name.replace("rgb", "instance").replace("jpg", "png")))
            rgb = np.asarray(Image.open(picture))
            for number, count in zip(*np.unique(index, return_counts=True), strict=True):
                if number == 0 or count < LEAST_PIXELS:
                    continue
                thing = about[str(number)]
                if thing["class"] in STRUCTURE and rng.random() > structure:
                    continue
                words = words_of(thing["name"] if thing["model"] else thing["class"], thing["class"])
                mask = index == number
                if words:
                    found.append(Thing(*cut(rgb, mask), words, colour_of(rgb, mask), thing["held_out"]))
    return found


def cut(
    rgb: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], margin: float = 0.4
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """The part of a picture around a mask, with a margin as a share of its longer side."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    more = int(margin * max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1)
    part = slice(max(rows[0] - more, 0), rows[-1] + more + 1), slice(max(columns[0] - more, 0), columns[-1] + more + 1)
    return np.ascontiguousarray(rgb[part]), np.ascontiguousarray(mask[part])


def truth(things: Sequence[Thing], captions: Sequence[Caption]) -> npt.NDArray[np.float32]:
    """[T, C] whether caption c fits thing t: 1, 0, or nan where nobody knows."""
    return np.array([[one.fits(thing) for one in captions] for thing in things], np.float32)
