# SPDX-License-Identifier: GPL-3.0-or-later
"""Vision-language models of open_clip: which there are, where their weights lie, and how they are loaded.

A model is named "ARCHITECTURE/WEIGHTS" as open_clip names both ("ViT-B-16/laion2b_s34b_b88k"), or by "ARCHITECTURE=/path/to/weights", or
by a folder with open_clip_config.json and weights. Weights are used where they lie: nothing here fetches them. What was pickled is read by torch
with `weights_only`, safetensors by their own library.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor

from ....core.errors import InvalidFile, InvalidInput, NotAvailable
from . import dense

DEFAULT = "ViT-B-16/laion2b_s34b_b88k"
TEXTS_AT_ONCE = 64


@dataclass(frozen=True)
class Known:
    """A model that is worth naming. megabytes: of its weights in float32, four bytes a parameter. licence: of the weights."""

    name: str
    megabytes: int
    licence: str
    note: str


KNOWN = (
    Known("ViT-B-32/laion2b_s34b_b79k", 605, "MIT", "small: four times faster than the default, coarser"),
    Known(DEFAULT, 598, "MIT", "default"),
    Known("convnext_base_w/laion2b_s13b_b82k", 718, "MIT", "convolutional"),
    Known("ViT-B-16-SigLIP/webli", 813, "Apache-2.0", "sigmoid loss; needs the package transformers for its texts"),
    Known("ViT-L-14/laion2b_s32b_b82k", 1710, "MIT", "large"),
)


@dataclass(frozen=True)
class Source:
    """Where a model comes from. architecture: open_clip's name, or "local-dir:FOLDER". weights: the file."""

    name: str
    architecture: str
    weights: Path


@dataclass(frozen=True)
class Clip:
    """A loaded model. size: side of its pictures in pixels. dim: length of its vectors. stride: side of a patch. key: of its weights, for
    caches. mean, std: of its pictures' channels, 0..1.
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
        """Of the weights: float16 or bfloat16 on a GPU if asked for."""
        dtype: torch.dtype = next(self.network.parameters()).dtype
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
        for text in texts:
            self._check_length(text)
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
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


def locate(name: str) -> Source | None:
    """Where the model's weights lie on this machine, None where they do not; a name that cannot be one raises NotAvailable."""
    architecture, equals, path = name.partition("=")
    if equals:
        file = Path(path).expanduser()
        if not file.is_file():
            raise InvalidFile(f"There is no file '{file}'.", "Give the whole path of the weights.")
        return Source(name, _checked(architecture), file)
    folder = Path(name).expanduser()
    if folder.is_absolute() or folder.is_dir():
        return _folder_source(name, folder)
    repository, files = hub_place(name)
    return next((Source(name, name.split("/")[0], Path(p)) for f in files if (p := _cached(repository, f))), None)


def hub_place(name: str) -> tuple[str, tuple[str, ...]]:
    """The Hugging Face repository of a model's weights, and names of its file, the best first."""
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    architecture, _, tag = name.partition("/")
    _checked(architecture)
    config = get_pretrained_cfg(architecture, tag)
    if not config or not config.get("hf_hub"):
        tags = ", ".join(list_pretrained_tags_by_model(architecture)) or "none"
        raise NotAvailable(f"There are no weights '{tag}' for '{architecture}'.", f"Weights: {tags}.")
    repository, _, file = config["hf_hub"].rpartition("/")
    if file.endswith(".safetensors"):
        return repository, (file,)
    return repository, (
        "open_clip_model.safetensors",
        "open_clip_pytorch_model.safetensors",
        file or "open_clip_pytorch_model.bin",
    )


def _checked(architecture: str) -> str:
    from open_clip import list_models

    if architecture not in list_models():
        few = ", ".join(known.name for known in KNOWN)
        raise NotAvailable(
            f"There is no vision-language model '{architecture[:60]}'.", f"For example: {few}; or give a folder."
        )
    return architecture


def _cached(repository: str, file: str) -> str | None:
    """The file's place in the Hugging Face cache, if it is there."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, file)
    return found if isinstance(found, str) else None


def _folder_source(name: str, folder: Path) -> Source:
    config = folder / "open_clip_config.json"
    if not config.is_file():
        raise InvalidFile(f"'{folder}' has no open_clip_config.json.", "Choose a folder that open_clip can load.")
    files = [*sorted(folder.glob("*.safetensors")), *sorted(folder.glob("*.bin"))]
    if not files:
        raise InvalidFile(f"'{folder}' holds no weights.", "Put open_clip_model.safetensors there.")
    return Source(name, f"local-dir:{folder}", files[0])


@lru_cache(maxsize=1)
def load(name: str, device: str = "cpu", precision: str = "fp32") -> Clip:
    """The model, the last one being kept. Weights that are not on this machine raise NotAvailable, with what to do."""
    import open_clip

    source = locate(name)
    if source is None:
        size = next((f" ({known.megabytes:,} MB)" for known in KNOWN if known.name == name), "")
        raise NotAvailable(
            f"The weights of '{name}'{size} are not on this machine.",
            "Fetch them with open_clip, or give the folder of another model.",
        )
    local = source.architecture.startswith("local-dir:")
    try:
        network = open_clip.create_model(
            source.architecture,
            pretrained=None if local else str(source.weights),
            precision=precision,
            device=device,
            weights_only=True,
        )
        tokenizer = open_clip.get_tokenizer(source.architecture)
    except (RuntimeError, ValueError, KeyError, TypeError, OSError, SafetensorError) as error:
        raise InvalidFile(
            f"The weights '{source.weights}' cannot be loaded: {str(error).splitlines()[0][:160]}.", "Get them again."
        ) from error
    except ImportError as error:
        raise NotAvailable(
            f"'{name}' needs a package that is missing: {error.name}.", f"Install it, or choose '{DEFAULT}'."
        ) from error
    return wrap(name, weights_key(source.weights), network.eval().requires_grad_(False), tokenizer)


def wrap(name: str, key: str, network: Any, tokenizer: Any) -> Clip:
    """An open_clip network with what it says about itself."""
    from open_clip.model import get_model_preprocess_cfg

    about = get_model_preprocess_cfg(network)
    size = about.get("size", network.visual.image_size)
    side = int(size[0] if isinstance(size, (tuple, list)) else size)
    with torch.inference_mode():
        sample = torch.zeros(1, 3, side, side, device=next(network.parameters()).device, dtype=next(network.parameters()).dtype)
        dim = int(network.encode_image(sample).shape[-1])
    return Clip(
        name=name,
        key=key,
        network=network,
        tokenizer=tokenizer,
        size=side,
        dim=dim,
        stride=dense.stride(network.visual),
        context=int(getattr(network, "context_length", 77) or 77),
        mean=tuple(about["mean"]),
        std=tuple(about["std"]),
        bicubic=about.get("interpolation", "bicubic") != "bilinear",
    )


def weights_key(path: Path) -> str:
    """A short name for a weights file's content: of its sha256, which is remembered beside nothing but size and time of change."""
    state = path.stat()
    return _hash(str(path), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=8)
def _hash(path: str, size: int, changed: int) -> str:
    with Path(path).open("rb") as file:
        return file_digest(file, "sha256").hexdigest()[:16]
