# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scene's Gaussians mean, small enough to keep: a codebook of words, and for each Gaussian a few of them.

f_i = sum over k of w_ik S_k, with at most 256 words S and four pairs (k, w) a Gaussian (as LangSplatV2 and EmbodiedSplat hold it). A word is
what a vision-language model says of one thing, once of its region alone and once with what is around (GSemSplat's two kinds). Everything
asked of a scene is linear in the words: it is asked of the words, and each Gaussian adds its few answers up.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ...core.errors import InvalidFile, InvalidInput
from ...core.files import replacing

WORDS_MOST = 256
PAIRS = 4
FILE_NAME = "semantics.safetensors"
_FORMAT = "1"
_BYTES_MOST = 4 << 30

Halves = npt.NDArray[np.float16]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Codebook:
    """K words and N Gaussians.

    model, key: the vision-language model, and of which weights. specific, context: [K, D] float16 unit vectors, of the region alone and with
    what is around. index: [N, 4] uint8 words, weight: [N, 4] uint8, their shares of 255, heaviest first, 0 where there are fewer.
    confidence: [N] uint8, of 255, how much of what the views say is in the heaviest.
    """

    model: str
    key: str
    specific: Halves
    context: Halves
    index: Bytes
    weight: Bytes
    confidence: Bytes

    def __len__(self) -> int:
        return len(self.index)

    @property
    def words(self) -> int:
        return len(self.specific)

    @property
    def bytes_per_gaussian(self) -> float:
        """Of what grows with the Gaussians."""
        return (self.index.nbytes + self.weight.nbytes + self.confidence.nbytes) / max(len(self), 1)

    def spread(self, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Scores of the words [K] or [K, C] -> of the Gaussians [N] or [N, C]: the weighted means of their words', 0 without any."""
        if not self.words or not len(self):
            return np.zeros((len(self), *scores.shape[1:]), np.float32)
        table, index = torch.from_numpy(np.ascontiguousarray(scores, np.float32)), torch.from_numpy(self.index)
        out = torch.zeros((len(self), *scores.shape[1:]))
        for pair in range(PAIRS):
            share = torch.from_numpy(self.weight[:, pair]).float() / 255
            if not share.any():
                break
            found = table.index_select(0, index[:, pair].int())
            out += found * (share if found.ndim == 1 else share[:, None])
        result: npt.NDArray[np.float32] = out.numpy()
        return result

    def validate(self) -> None:
        """Raise InvalidInput unless shapes, dtypes and indices are as documented."""
        K, D, N = len(self.specific), self.specific.shape[-1] if self.specific.ndim == 2 else 0, len(self.index)
        expected = {
            "specific": ((K, D), np.float16), "context": ((K, D), np.float16),
            "index": ((N, PAIRS), np.uint8), "weight": ((N, PAIRS), np.uint8), "confidence": ((N,), np.uint8),
        }  # fmt: skip
        for name, (shape, dtype) in expected.items():
            found = getattr(self, name)
            if found.shape != shape or found.dtype != dtype:
                raise InvalidInput(f"A codebook's {name} is {found.dtype} {found.shape}, not {np.dtype(dtype)} {shape}.")
        if K > WORDS_MOST:
            raise InvalidInput(f"A codebook of {K} words is too long.", f"Use at most {WORDS_MOST}.")
        if N and self.weight.any() and int(self.index[self.weight > 0].max()) >= K:
            raise InvalidInput("A codebook's index points behind its last word.", "Make it again.")


def pairs(
    count: int, gaussian: npt.NDArray[np.int64], word: npt.NDArray[np.int64], weight: npt.NDArray[np.floating]
) -> tuple[Bytes, Bytes, Bytes]:
    """Index, weight and confidence of `count` Gaussians from entries (Gaussian, word, weight), each pair of the first two once.

    The four heaviest words stay, their shares rounded so that they add up to 255.
    """
    order = np.lexsort((word, -weight, gaussian))
    gaussian, word, weight = gaussian[order], word[order], weight[order].astype(np.float64)
    first = np.searchsorted(gaussian, gaussian)
    rank = np.arange(len(gaussian)) - first
    total = np.bincount(gaussian, weight, minlength=count)
    keep = (rank < PAIRS) & (weight > 0)
    index = np.zeros((count, PAIRS), np.uint8)
    shares = np.zeros((count, PAIRS))
    index[gaussian[keep], rank[keep]] = word[keep]
    shares[gaussian[keep], rank[keep]] = weight[keep]
    confidence = np.round(255 * shares[:, 0] / np.maximum(total, 1e-30)).clip(0, 255).astype(np.uint8)
    kept = shares.sum(1, keepdims=True)
    bounds = np.round(255 * np.cumsum(shares, 1) / np.maximum(kept, 1e-30))  # rounding the sums: the parts add up exactly
    parts = np.diff(bounds, axis=1, prepend=0.0)
    return index, np.where(kept > 0, parts, 0).astype(np.uint8), confidence


def write(folder: Path, codebook: Codebook) -> None:
    """semantics.safetensors in a scene's folder, whole or not at all."""
    from safetensors.numpy import save

    arrays = {
        f.name: np.ascontiguousarray(getattr(codebook, f.name)) for f in fields(Codebook) if f.name not in ("model", "key")
    }
    with replacing(folder / FILE_NAME) as file:
        file.write(save(arrays, {"format": _FORMAT, "model": codebook.model, "key": codebook.key}))


def read(folder: Path, gaussians: int) -> Codebook | None:
    """A scene's codebook, None without one. One that is damaged, or of another number of Gaussians, raises InvalidFile."""
    from safetensors import SafetensorError, safe_open

    path = folder / FILE_NAME
    if not path.is_file():
        return None
    again = "Label the scene again, or remove the file."
    if path.stat().st_size > _BYTES_MOST:
        raise InvalidFile(f"'{path}' is too large ({path.stat().st_size:,} bytes).", again)
    try:
        with safe_open(str(path), framework="numpy") as file:
            about = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
        codebook = Codebook(about["model"], about["key"], **arrays)
        codebook.validate()
    except (SafetensorError, KeyError, TypeError, ValueError, InvalidInput) as error:
        raise InvalidFile(f"'{path}' is not a codebook of this version: {error}.", again) from error
    if len(codebook) != gaussians:
        raise InvalidFile(f"'{path}' is of {len(codebook):,} Gaussians, the scene has {gaussians:,}.", again)
    return codebook
