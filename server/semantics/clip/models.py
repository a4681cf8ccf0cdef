# SPDX-License-Identifier: GPL-3.0-or-later
"""Vision-language models of open_clip, loaded: pictures and texts to vectors.

Nothing here opens a connection: what a model would look for elsewhere is refused before it looks. Weights that were pickled are read by
torch with `weights_only`, safetensors by their own library.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ....core.errors import InvalidFile, InvalidInput, NotAvailable
from . import dense, sources
from .sources import Source

TEXTS_AT_ONCE = 64
ROOM = 1.3
"""Memory that is asked for before loading, over that of the weights in float32: loading takes 1.0, the rest is for the first pictures."""
_BROKEN = (
    RuntimeError, ValueError, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError, OSError, EOFError, StopIteration,
    UnpicklingError, SafetensorError,
)  # fmt: skip
"""What open_clip, torch and safetensors raise for weights or a configuration that are not what they should be."""


@dataclass(frozen=True)
class Clip:
    """A loaded model. key: of its weights, for caches. size: side of its pictures in pixels. dim: length of its vectors. stride: side of a
    patch in pixels. context: most tokens of a text. mean, std: of its pictures' channels, 0..1. bicubic: how it shrinks pictures, else
    bilinear.
    """

    name: str
    key: str
    network: Any
    tokenizer: Any
    size: int
    dim: int
    stride: int
    context: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    bicubic: bool
    _texts: dict[str, Tensor] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        device: torch.device = next(self.network.parameters()).device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """Of pictures, which is that of the first convolution: in float16 or bfloat16 open_clip leaves some weights in float32."""
        dtype: torch.dtype = next(part.dtype for part in self.network.visual.parameters() if part.ndim == 4)
        return dtype

    def normalised(self, rgb: npt.NDArray[np.uint8]) -> Tensor:
        """A picture [H, W, 3] as the model wants it [3, H, W], float32."""
        pixels = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1).float() / 255
        mean, std = (torch.tensor(part)[:, None, None] for part in (self.mean, self.std))
        return (pixels - mean) / std

    def encode_pictures(self, pixels: Tensor) -> Tensor:
        """Unit vectors [B, D] float32 of pictures [B, 3, size, size]."""
        with torch.inference_mode():
            found = self.network.encode_image(pixels.to(self.device, self.dtype))
        return F.normalize(found.float(), dim=-1).cpu()

    def look(self, pixels: Tensor, attention: dense.Attention = "correlative") -> dense.Looked:
        """Dense features of pictures [B, 3, H, W], float32, not normalised."""
        with torch.inference_mode():
            found = dense.look(self.network.visual, pixels.to(self.device, self.dtype), attention)
        return dense.Looked(found.pooled.float().cpu(), found.patches.float().cpu())

    def encode_texts(self, texts: Sequence[str], check: Callable[[], None] = lambda: None) -> Tensor:
        """Unit vectors [T, D] float32. A text that is empty or too long raises InvalidInput; those seen before are remembered."""
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        for text in new:
            self._check_length(text)
        for start in range(0, len(new), TEXTS_AT_ONCE):
            check()
            some = new[start : start + TEXTS_AT_ONCE]
            with torch.inference_mode():
                found = self.network.encode_text(self.tokenizer(some).to(self.device))
            self._texts.update(zip(some, F.normalize(found.float(), dim=-1).cpu(), strict=True))
        return torch.stack([self._texts[text] for text in texts]) if texts else torch.zeros(0, self.dim)

    def _check_length(self, text: str) -> None:
        if not text.strip():
            raise InvalidInput("A text is empty.", "Type what you look for.")
        if hasattr(self.tokenizer, "encode"):
            length = len(self.tokenizer.encode(text)) + 2
            if length > self.context:
                raise InvalidInput(
                    f"The text '{text[:40]}...' has {length} tokens, and '{self.name}' reads {self.context}.", "Shorten it."
                )


_kept: dict[tuple[object, ...], Clip] = {}
"""The last model that was loaded, by all that it depends on."""


def load(name: str, device: str = "cpu", precision: str = "fp32") -> Clip:
    """The model of a name that `sources.resolve` gave, the last one being kept. Opens no connection.

    device: as torch names it. precision: as open_clip names it, "fp32", "fp16" or "bf16". Weights that are not on this machine, parts that
    would be looked for elsewhere, and a machine without room raise NotAvailable with what to do; what is damaged raises InvalidFile.
    """
    source = sources.locate(name)
    if source is None:
        raise sources.missing(name)
    state = source.weights.stat()
    key = (name, source.weights, state.st_size, state.st_mtime_ns, device, precision)
    if key not in _kept:
        _kept.clear()  # first, or both would be in memory at once
        _kept[key] = _loaded(source, device, precision)
    return _kept[key]


def _loaded(source: Source, device: str, precision: str) -> Clip:
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    absent = sources.missing_parts(source.architecture)
    if absent:
        raise NotAvailable(
            f"'{source.name}' reads its texts with '{absent[0]}', whose files are not on this machine.",
            f"{sources.ways_to_get(source.name)}." if source.tag else f"Choose '{sources.TINY}', which ships with Splatonym.",
        )
    tag = get_pretrained_cfg(source.architecture, source.tag) if source.tag else {}
    sources.stay_offline()
    try:
        _check_room(source)
        with _quietly():
            network = open_clip.create_model(
                source.architecture,
                load_weights=False,
                pretrained_text=False,
                precision=precision,
                device=device,
                force_quick_gelu=bool(tag.get("quick_gelu")),
                force_preprocess_cfg={key: tag[key] for key in ("mean", "std", "interpolation", "resize_mode") if key in tag},
            )
        # apart, so that the weights are those of this very file: in a folder open_clip would choose one itself
        open_clip.load_checkpoint(network, str(source.weights), weights_only=True)
        # a tokenizer's description may ask to run code that lies beside it
        own = {"trust_remote_code": False} if sources.described(source.architecture)[1].get("hf_tokenizer_name") else {}
        tokenizer = open_clip.get_tokenizer(source.architecture, **own)
    except torch.OutOfMemoryError as error:
        raise NotAvailable(
            f"'{source.name}' does not fit into the memory of '{device}'.", f"Choose '{sources.TINY}'."
        ) from error
    except _BROKEN as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:160]
        raise InvalidFile(f"The weights '{source.weights}' cannot be loaded: {reason}.", "Get them again.") from error
    except ImportError as error:
        raise NotAvailable(
            f"'{source.name}' needs a package that is missing: {error.name}.", f"Install it, or choose '{sources.DEFAULT}'."
        ) from error
    return wrap(source.name, sources.weights_key(source.weights), network.eval().requires_grad_(False), tokenizer)


def _check_room(source: Source) -> None:
    """Refuse weights that would not fit into memory. A machine without psutil is believed to have room."""
    try:
        import psutil  # type: ignore[import-untyped]
    except ImportError:
        return
    needed, free = _needed(source.weights), int(psutil.virtual_memory().available)
    if needed > free:
        fitting = [k for k in sources.KNOWN if k.megabytes * 1e6 * ROOM < min(free, needed)]
        smaller = max(fitting, key=lambda k: k.megabytes).name if fitting else sources.TINY
        raise NotAvailable(
            f"'{source.name}' needs {needed / 1e6:,.0f} MB of memory, and {free / 1e6:,.0f} MB are free.",
            f"Close other programs, or choose a smaller model: '{smaller}'.",
        )


def _needed(weights: Path) -> int:
    """Bytes that loading takes at most. Safetensors say how many numbers they hold; what was pickled is taken for float32, and is in memory
    twice, as it is read before it is copied.
    """
    if weights.suffix != ".safetensors":
        return int((ROOM + 1) * weights.stat().st_size)
    with safe_open(str(weights), framework="pt") as file:
        return int(ROOM * 4 * sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys()))  # noqa: SIM118 - not a dict


@contextmanager
def _quietly() -> Iterator[None]:
    """Without open_clip's warning that a network has no weights: they follow."""

    def other(record: logging.LogRecord) -> bool:
        return "No pretrained weights loaded" not in record.getMessage()

    logging.getLogger().addFilter(other)
    try:
        yield
    finally:
        logging.getLogger().removeFilter(other)


def wrap(name: str, key: str, network: Any, tokenizer: Any) -> Clip:
    """An open_clip network with what it says about itself."""
    from open_clip.model import get_model_preprocess_cfg

    about = get_model_preprocess_cfg(network)
    size = about.get("size", network.visual.image_size)
    side = int(size[0] if isinstance(size, (tuple, list)) else size)
    clip = Clip(
        name=name,
        key=key,
        network=network,
        tokenizer=tokenizer,
        size=side,
        dim=0,
        stride=dense.stride(network.visual),
        context=int(getattr(network, "context_length", 77) or 77),
        mean=tuple(about["mean"]),
        std=tuple(about["std"]),
        bicubic=about.get("interpolation", "bicubic") != "bilinear",
    )
    # how long its vectors are is seen by the first one
    return replace(clip, dim=clip.encode_pictures(torch.zeros(1, 3, side, side)).shape[-1])
