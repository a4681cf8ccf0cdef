# SPDX-License-Identifier: GPL-3.0-or-later
"""Regions of a picture by a segment-anything model, SAM (Kirillov et al. 2023) or SAM 2 (Ravi et al. 2024), of Hugging Face transformers.

A picture is encoded once. Then a grid of points asks the model what lies under each; it answers with three masks a point, a part and what the
part belongs to, and how well it thinks they fit. The good ones that differ are laid over each other, small on large.

A model is named as on the Hugging Face hub, or by a folder with config.json and .safetensors. Weights are used where they lie: nothing here
fetches them, and nothing pickled is read. The package is optional, so it and torch are imported only where a model is loaded or asked.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...core.errors import InvalidFile, NotAvailable
from ...core.wire.errors import OutOfMemory
from ..job import Job
from .segments import Labels, join_edges, pair

if TYPE_CHECKING:
    from torch import Tensor

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Known:
    """A model that is worth naming. megabytes: about, of its weights in float32. licence: of the weights."""

    name: str
    megabytes: int
    licence: str
    note: str


KNOWN = (
    Known("facebook/sam-vit-huge", 2564, "Apache-2.0", "large: for a GPU"),
    Known("facebook/sam-vit-base", 375, "Apache-2.0", "SAM's smallest own"),
    Known("facebook/sam2.1-hiera-small", 184, "Apache-2.0", "SAM 2"),
    Known("Zigeng/SlimSAM-uniform-77", 39, "Apache-2.0", "small: sam-vit-base, pruned"),
)
"""The largest first."""

_CLASSES = {"sam": "SamModel", "sam2": "Sam2Model", "sam2_video": "Sam2Model"}
"""A config's model_type: the class in transformers. SAM 2 is published as its video model, whose image half is all that is needed here."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_FINER = 4
"""How many times larger than its masks a model's square is."""


@dataclass(frozen=True)
class SamOptions:
    """points: along each side of the picture. fit: IoU with the truth that the model expects of a mask at least. stability: IoU at least of the
    mask cut a little lower and a little higher. overlap: IoU from which two masks are the same thing. least: share of the picture that
    a piece of a region has at least. at_once: points in one pass; fewer need less memory and change nothing else.
    """

    points: int = 16
    fit: float = 0.88
    stability: float = 0.95
    overlap: float = 0.7
    least: float = 0.0002
    at_once: int = 16


def installed() -> bool:
    """Whether the package is there; it is not imported for that."""
    return importlib.util.find_spec("transformers") is not None


def locate(name: str) -> Path | None:
    """The folder of the model's config.json and weights on this machine, None where it is not; a folder without them raises InvalidFile."""
    folder = Path(name).expanduser()
    if folder.is_absolute() or folder.is_dir():
        if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
            raise InvalidFile(f"'{folder}' has no config.json and .safetensors.", "Choose a folder that transformers can load.")
        return folder
    from huggingface_hub import try_to_load_from_cache

    try:
        config, weights = (try_to_load_from_cache(name, file) for file in ("config.json", "model.safetensors"))
    except ValueError:  # no repository can have that name
        return None
    return Path(config).parent if isinstance(config, str) and isinstance(weights, str) else None


def available(*, largest: bool = True) -> str | None:
    """The largest, or smallest, known model that could be loaded now, None if there is none."""
    known = KNOWN if largest else KNOWN[::-1]
    return next((one.name for one in known if locate(one.name)), None) if installed() else None


@dataclass(frozen=True)
class Sam:
    """A loaded model. side: of its square pictures in pixels. stretched: a picture is fitted to the square, else it keeps its shape and has
    nothing below or to its right.
    """

    name: str
    network: Any
    side: int
    stretched: bool

    @classmethod
    def load(cls, name: str, device: str = "cpu") -> Sam:
        """A model by its name or folder, in float32. A package or weights that are missing raise NotAvailable, others InvalidFile."""
        if not installed():
            raise NotAvailable(
                "Regions by SAM need the package transformers, which is not installed.", "pip install 'splatonym[sam]'"
            )
        folder = locate(name)
        if folder is None:
            size = next((f" (about {known.megabytes:,} MB)" for known in KNOWN if known.name == name), "")
            raise NotAvailable(
                f"The weights of '{name}'{size} are not on this machine.",
                f"Fetch them with: hf download {name} config.json model.safetensors. Or give a folder that holds them."
                if size
                else f"Known: {', '.join(known.name for known in KNOWN)}; or give a folder.",
            )
        transformers: Any = importlib.import_module("transformers")
        transformers.logging.set_verbosity_error()  # what it would say is looked at below
        transformers.logging.disable_progress_bar()
        try:
            kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
            network, told = getattr(transformers, _CLASSES[kind]).from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
            lost = sorted(told["missing_keys"])  # transformers fills them with noise
            if lost:
                raise ValueError(f"{len(lost)} weights are missing, '{lost[0]}' first")
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
            raise InvalidFile(f"'{folder}' cannot be loaded as SAM or SAM 2: {reason}.", "Get the model again.") from error
        network = network.float().eval().requires_grad_(False).to(device)
        return cls(name, network, int(network.config.prompt_encoder_config.image_size), kind != "sam")

    def inside(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that a picture has in the model's square."""
        if self.stretched:
            return self.side, self.side
        scale = self.side / max(height, width)
        return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))

    def pixels(self, rgb: npt.NDArray[np.uint8]) -> Tensor:
        """A picture [H, W, 3] as the model wants it [1, 3, side, side], float32, on its device."""
        import torch
        import torch.nn.functional as F

        values = torch.from_numpy(np.ascontiguousarray(rgb)).to(self.network.device).permute(2, 0, 1)[None].float()
        height, width = self.inside(*rgb.shape[:2])
        values = F.interpolate(values, (height, width), mode="bilinear", antialias=True) / 255
        mean, std = (values.new_tensor(part)[:, None, None] for part in (_MEAN, _STD))
        return F.pad((values - mean) / std, (0, self.side - width, 0, self.side - height))

    def points(self, height: int, width: int, count: int) -> Tensor:
        """A grid of points [count * count, 1, 2], x and y in the model's square, row by row."""
        import torch

        high, wide = self.inside(height, width)
        steps = (torch.arange(count, device=self.network.device) + 0.5) / count
        y, x = torch.meshgrid(steps * high, steps * wide, indexing="ij")
        return torch.stack([x, y], -1).reshape(-1, 1, 2)


def regions(
    sam: Sam,
    rgb: npt.NDArray[np.uint8],
    job: Job,
    options: SamOptions | None = None,
    span: tuple[float, float] = (0.0, 1.0),
) -> Labels:
    """Region numbers [H, W] from 1 on of a picture [H, W, 3]; 0 where no mask lies, which may be everywhere. span: of the stage's progress.

    What no mask covers is not made into regions of its own: it is mostly seams between things, which hang together all over the picture and
    look like nothing. To claim nothing there is better, and other views see the place. Too little memory raises OutOfMemory.
    """
    import torch

    from ..torch_work import Cancellable

    options = options or SamOptions()
    height, width = rgb.shape[:2]
    with torch.inference_mode(), Cancellable(job):
        logits = _masks(sam, rgb, options, job, span)
        logits = logits[distinct(logits > 0, options.overlap)]
        least = max(1, round(options.least * height * width))
        return region_map(_enlarged(sam, logits, height, width), height, width, least)


def _masks(sam: Sam, rgb: npt.NDArray[np.uint8], options: SamOptions, job: Job, span: tuple[float, float]) -> Tensor:
    """Masks that fit and are stable, as logits [M, h, w] float16 of the picture's part of the square, those that fit best first."""
    import torch

    from ..torch_work import is_out_of_memory

    height, width = rgb.shape[:2]
    points = sam.points(height, width, options.points)
    rows, columns = (-(-part // _FINER) for part in sam.inside(height, width))
    found, fits, start, at_once, encoded = [], [], 0, max(1, options.at_once), None
    while start < len(points):
        job.progress(span[0] + (span[1] - span[0]) * start / len(points), "asking SAM")
        try:
            if encoded is None:
                encoded = sam.network.get_image_embeddings(sam.pixels(rgb))
            told = sam.network(image_embeddings=encoded, input_points=points[None, start : start + at_once])
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if encoded is None or at_once == 1:
                raise OutOfMemory(f"There is not enough memory for '{sam.name}'.", "Choose a smaller model.") from error
            at_once //= 2
            continue
        start += at_once
        logits, fit = told.pred_masks[0].flatten(0, 1)[:, :rows, :columns], told.iou_scores[0].flatten()
        narrow, wide = (logits > 1).sum((1, 2)), (logits > -1).sum((1, 2))
        good = (fit >= options.fit) & (narrow >= options.stability * wide) & (narrow > 0)
        found.append(logits[good].half())
        fits.append(fit[good])
    return torch.cat(found)[torch.cat(fits).argsort(descending=True, stable=True)]


def distinct(masks: Tensor, overlap: float, at_once: int = 64) -> list[int]:
    """Places of the masks [M, h, w] that show nothing that a mask before them shows: whose IoU with each kept one is below `overlap`."""
    flat = masks.flatten(1).float()
    area = flat.sum(1)
    kept: list[int] = []
    same = np.zeros((len(flat), len(flat)), bool)
    for start in range(0, len(flat), at_once):
        some = slice(start, start + at_once)
        both = flat[some] @ flat.T
        same[some] = (both >= overlap * (area[some, None] + area - both)).cpu().numpy()
    for place, alike in enumerate(same):
        if not alike[kept].any():
            kept.append(place)
    return kept


def _enlarged(sam: Sam, logits: Tensor, height: int, width: int, at_once: int = 8) -> Iterator[Mask]:
    """Masks [height, width] of logits [M, h, w]."""
    import torch.nn.functional as F

    high, wide = sam.inside(height, width)
    for start in range(0, len(logits), at_once):
        some = logits[start : start + at_once, None].float()
        square = F.interpolate(some, scale_factor=_FINER, mode="bilinear")[..., :high, :wide]
        yield from (F.interpolate(square, (height, width), mode="bilinear")[:, 0] > 0).cpu().numpy()


def region_map(masks: Iterable[Mask], height: int, width: int, least: int) -> Labels:
    """Region numbers [H, W] from 1 on of masks [H, W]; 0 where none lies. Where several lie, a pixel belongs to the smallest.

    A piece of a region, or of what no mask covers, goes to a neighbour if it has fewer than `least` pixels. Larger pieces of a mask stay one.
    """
    numbers = np.zeros((height, width), np.int32)
    smallest = np.full((height, width), height * width + 1, np.int32)
    for number, mask in enumerate(masks, 1):
        area = np.count_nonzero(mask)
        mine = mask & (smallest > area)
        numbers[mine], smallest[mine] = number, area
    place, number_of = np.arange(height * width, dtype=np.int32).reshape(height, width), numbers.reshape(-1)
    first, second = (np.concatenate([pair(place, *step)[k].reshape(-1) for step in ((0, 1), (1, 0))]) for k in (0, 1))
    differ = (number_of[first] != number_of[second]).astype(np.float32)
    order = np.argsort(differ, kind="stable")
    roots = join_edges(first[order], second[order], differ[order], height * width, np.float32(0), least)
    names, found = np.unique(number_of[roots], return_inverse=True)
    out: Labels = (found.reshape(height, width) + (names[0] > 0)).astype(np.int32)
    return out
