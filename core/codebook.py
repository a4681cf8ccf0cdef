# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scene's Gaussians mean, small enough to keep: a codebook of words, and for each Gaussian a few of them.

f_i = sum over k of w_ik S_k, with at most 256 words S and four pairs (k, w) a Gaussian (as LangSplatV2 and EmbodiedSplat hold it). A word is
what a vision-language model says of one thing, once of its region alone and once with what is around (GSemSplat's two kinds). Everything
asked of a scene is linear in the words: it is asked of the words, and each Gaussian adds its few answers up.

The words are here, once a scene. The pairs are columns of the Gaussians (GaussianArrays.words and .shares), so that they go where those go.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .errors import InvalidFile, InvalidInput
from .tensors import dumps, loads

WORDS_MOST = 256
PAIRS = 4
NOT_TAUGHT = -1
_AT_ONCE = 1 << 17
"""Scores of several columns that are spread at once: more would go through the memory several times."""
_FORMAT = "1"

Halves = npt.NDArray[np.float16]
Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Codebook:
    """K words, unit vectors of D numbers.

    model, key: the vision-language model that says them, and which weights of it. specific, context: [K, D] float16, of the region alone and
    with what is around.
    """

    model: str
    key: str
    specific: Halves
    context: Halves

    def __len__(self) -> int:
        return len(self.specific)

    def validate(self) -> None:
        """Raise InvalidInput unless shapes, dtypes and values are as documented."""
        shape = self.specific.shape
        for name in ("specific", "context"):
            found = getattr(self, name)
            if found.ndim != 2 or found.shape != shape or found.dtype != np.float16:
                raise InvalidInput(f"A codebook's {name} words are {found.dtype} {found.shape}, not float16 [words, numbers].")
            if not np.isfinite(found).all():
                raise InvalidInput(f"A codebook's {name} words are not finite.", "Make it again.")
        if len(self) > WORDS_MOST:
            raise InvalidInput(f"A codebook of {len(self)} words is too long.", f"Use at most {WORDS_MOST}.")

    def to_bytes(self) -> bytes:
        """The codebook as one block."""
        return dumps({"specific": self.specific, "context": self.context}, self.metadata)

    @classmethod
    def from_bytes(cls, block: bytes, where: str = "A codebook") -> Codebook:
        """What `to_bytes` gave; anything else raises InvalidFile."""
        return cls.from_arrays(*loads(block, where), where)

    @property
    def metadata(self) -> dict[str, str]:
        return {"format": _FORMAT, "model": self.model, "key": self.key}

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[np.generic]], about: dict[str, str], where: str) -> Codebook:
        """The codebook among the arrays and texts of a block."""
        try:
            if about.get("format") != _FORMAT:
                raise ValueError(f"format '{about.get('format')}'")
            book = cls(about["model"], about["key"], arrays["specific"], arrays["context"])  # type: ignore[arg-type]  # validated
            book.validate()
        except (KeyError, ValueError, InvalidInput) as error:
            raise InvalidFile(f"{where} is not a codebook of this version: {error}.", "Label the scene again.") from error
        return book


def spread(words: Bytes, shares: Bytes, scores: Floats) -> Floats:
    """Scores of the words [K] or [K, C] -> of Gaussians [N] or [N, C]: the weighted means of their words', 0 without any.

    words, shares: [N, 4] uint8.
    """
    out = np.zeros((len(words), *scores.shape[1:]), np.float32)
    if not len(scores) or not len(words):
        return out
    table = np.ascontiguousarray(scores, np.float32) / np.float32(255)
    rows = len(words) if table.ndim == 1 else max(1, _AT_ONCE // max(1, table.shape[1]))
    for first in range(0, len(words), rows):
        some = slice(first, first + rows)
        for pair in range(words.shape[1]):
            share = shares[some, pair].astype(np.float32)
            if not share.any():
                break
            found = np.take(table, words[some, pair], axis=0)
            found *= share if found.ndim == 1 else share[:, None]
            out[some] += found
    return out
