# SPDX-License-Identifier: GPL-3.0-or-later
"""The training loop: one room a step, whole on one device, resumable to the step.

Every random choice of step k comes from (seed, k), so a run that was stopped goes on as if it had not been (with one thread and the same rooms
to the bit). From `render_from` on the Gaussians are drawn into other views and judged there too.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core import labels
from ...core.files import replacing
from .. import models
from ..models.config import NetworkConfig
from ..models.geometry import Rig
from ..models.lifting import lift
from ..models.network import Network
from ..models.points import Splats
from ..rasterize.contract import Backend
from .augment import Example, example, shrink
from .drawing import draw
from .losses import of_group, of_maps, of_pictures
from .pictures import sheet
from .rooms import Rooms, Scene, scene_of
from .writer import Curves

_WEIGHTS = {
    "planes": 0.5, "depth": 2.0, "edges": 2.0, "trust": 0.3, "normals": 0.5, "classes": 1.0,
    "group": 0.2, "mse": 10.0, "ssim": 0.5, "drawn classes": 0.5, "drawn depth": 1.0, "smooth": 0.05,
}  # fmt: skip


@dataclass(frozen=True)
class TrainConfig:
    """network: architecture, by name. changes: entries of it that differ. steps: in all. lr, backbone_lr: peaks of a one-cycle schedule that
    rises for the share `warmup` of the steps. weight_decay: of AdamW. accumulate: rooms a step.
    render_from: share of the steps after which Gaussians are drawn; render_every: in how many steps once.
    small_until: share of the steps in which pictures have only `small_side` pixels a side.
    depth_drop: how often no depth is given. ema: decay of the averaged weights, which are the ones to use. seed: of every random choice.
    losses: weights that differ from the usual. save_every, picture_every, log_every: steps between.
    """

    network: str = "rooms"
    changes: dict[str, Any] = field(default_factory=dict)
    steps: int = 10000
    lr: float = 1e-3
    backbone_lr: float = 3e-4
    weight_decay: float = 0.01
    warmup: float = 0.05
    accumulate: int = 1
    render_from: float = 0.6
    render_every: int = 1
    small_until: float = 0.0
    small_side: int = 96
    depth_drop: float = 0.6
    ema: float = 0.998
    seed: int = 0
    losses: dict[str, float] = field(default_factory=dict)
    save_every: int = 200
    picture_every: int = 500
    log_every: int = 20


def architecture(config: TrainConfig) -> NetworkConfig:
    """The network's config with the run's changes."""
    return replace(models.load(config.network), **config.changes)


class Trainer:
    """A run in a folder: last.pt (everything to go on with), curves/, pictures/, log.jsonl."""

    def __init__(self, config: TrainConfig, rooms: Rooms, folder: Path, device: str, backend: Backend) -> None:
        self.config, self.rooms, self.folder, self.device, self.backend = config, rooms, folder, torch.device(device), backend
        self.architecture = architecture(config)
        self.network = models.create(self.architecture, config.seed).to(self.device)
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.optimizer = torch.optim.AdamW(self._groups(), weight_decay=config.weight_decay, betas=(0.9, 0.98))
        self.step = 0
        self.curves = Curves(folder)
        self.class_weights = class_weights(rooms, self.architecture.class_count).to(self.device)
        self.loss_weights = {**_WEIGHTS, **config.losses}

    def _groups(self) -> list[dict[str, Any]]:
        backbone = {id(p) for p in self.network.backbone.parameters()}
        rest = [p for p in self.network.parameters() if id(p) not in backbone]
        return [
            {"params": rest, "peak": self.config.lr},
            {"params": list(self.network.backbone.parameters()), "peak": self.config.backbone_lr},
        ]

    def run(self, until: float | None = None) -> Iterator[dict[str, float]]:
        """Train on to the last step, or until a time (time.time()); yields each step's losses."""
        config = self.config
        with contextlib.closing(self.curves):
            while self.step < config.steps and (until is None or time.time() < until):
                started = time.perf_counter()
                losses = self._one_step()
                losses["seconds"] = time.perf_counter() - started
                self.step += 1
                self.curves.add(self.step, losses)
                if self.step % config.log_every == 0:
                    self.curves.flush()
                if self.step % config.save_every == 0 or self.step == config.steps:
                    self.save()
                if self.step % config.picture_every == 0:
                    self.picture()
                yield losses
            self.save()

    def _one_step(self) -> dict[str, float]:
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * schedule(self.step / config.steps, config.warmup)
        totals: dict[str, float] = {}
        self.optimizer.zero_grad(set_to_none=True)
        for part in range(config.accumulate):
            task = self.task(self.step * config.accumulate + part)
            losses = self.losses(task)
            loss = torch.stack([self.loss_weights[k] * v for k, v in losses.items()]).sum() / config.accumulate
            if not torch.isfinite(loss):  # one bad room must not spoil the run; the curves show it
                totals["skipped"] = totals.get("skipped", 0.0) + 1
                continue
            loss.backward()  # type: ignore[no-untyped-call]
            for name, value in {**losses, "loss": loss * config.accumulate}.items():
                totals[name] = totals.get(name, 0.0) + float(value.detach()) / config.accumulate
        totals["gradient"] = float(torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0))
        if np.isfinite(totals["gradient"]):
            self.optimizer.step()
        self._average()
        return totals

    def _average(self) -> None:
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value, 1 - decay)

    def task(self, number: int) -> Example:
        """The example of a step: rooms in an order that is shuffled anew in every round."""
        rng = np.random.default_rng([self.config.seed, number])
        count = len(self.rooms)
        order = np.random.default_rng([self.config.seed, 1 << 20, number // count]).permutation(count)
        room = self.rooms.draw(int(order[number % count]))
        scene = scene_of(room)
        scene.classes[(scene.depth == 0) | (scene.classes == 0)] = -1
        if self.step < self.config.small_until * self.config.steps:
            scene = shrink(scene, self.config.small_side)
        return example(scene, rng, self.config.depth_drop)

    def losses(self, task: Example) -> dict[str, Tensor]:
        """All losses of an example, by name."""
        given = task.given.to(self.device)
        inputs, targets = task.inputs.to(self.device), task.targets.to(self.device)
        network, rig = self.network, inputs.rig
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            encoded = network.encode(inputs.rgb, rig)
        # eight bits of mantissa would do for features, not for cameras and depths
        maps = network.decode(encoded.float(), inputs.rgb, rig, given, task.near, task.far)
        losses = of_maps(maps, inputs, given, task.near, task.far, self.class_weights)
        if self.step >= self.config.render_from * self.config.steps and self.step % self.config.render_every == 0:
            splats, positions = network.points.splats(lift(maps, inputs.rgb, rig, given), rig)
            if self.loss_weights["group"]:
                losses["group"] = of_group(positions, inputs)
            # a target and a source view, as GSsplat does: the sources hold the Gaussians where they belong
            losses |= self._drawn(splats, both(targets, inputs.pick(torch.tensor([0], device=self.device))))
        return losses

    def _drawn(self, splats: Splats, truth: Scene) -> dict[str, Tensor]:
        drawn = draw(splats, truth.rig, self.backend, self.architecture.own_semantics)
        return of_pictures(drawn.rgb, drawn.classes, drawn.depth, drawn.alpha, truth, self.class_weights)

    def save(self) -> None:
        """Write last.pt, whole or not at all."""
        state = {
            "step": self.step, "network": self.network.state_dict(), "average": self.average,
            "optimizer": self.optimizer.state_dict(), "config": json.dumps(asdict(self.config)),
        }  # fmt: skip
        with replacing(self.folder / "last.pt") as file:
            torch.save(state, file)

    def resume(self) -> None:
        """Go on from last.pt if there is one."""
        path = self.folder / "last.pt"
        if path.exists():
            state = torch.load(path, map_location=self.device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.average = state["average"]
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]

    def start_from(self, state: dict[str, Tensor]) -> None:
        """Begin with weights of another run; parts that it did not have, or in another shape, begin anew."""
        fresh = self.network.state_dict()
        known = {key: value.float() for key, value in state.items() if key in fresh and fresh[key].shape == value.shape}
        self.network.load_state_dict({**fresh, **known})
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    def picture(self) -> None:
        """Inputs, depth and classes of this step's example, predicted and true, as a picture."""
        task = self.task(self.step)
        inputs = task.inputs.to(self.device)
        with torch.no_grad():
            encoded = self.network.encode(inputs.rgb, inputs.rig)
            maps = self.network.decode(encoded, inputs.rgb, inputs.rig, task.given.to(self.device), task.near, task.far)
        self.curves.picture(self.step, sheet(inputs, maps, labels.preset(self.architecture.preset)))


def both(a: Scene, b: Scene) -> Scene:
    """The views of two scenes of one world and size."""
    rig = Rig(torch.cat([a.rig.K, b.rig.K]), torch.cat([a.rig.T_world_camera, b.rig.T_world_camera]), a.rig.height, a.rig.width)
    return Scene(torch.cat([a.rgb, b.rgb]), torch.cat([a.depth, b.depth]), torch.cat([a.classes, b.classes]), rig)


def schedule(progress: float, warmup: float) -> float:
    """Share of the peak learning rate: linear up, then a cosine down to a hundredth."""
    if progress < warmup:
        return 0.04 + 0.96 * progress / warmup
    return 0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * (progress - warmup) / (1 - warmup))))


def class_weights(rooms: Rooms, count: int) -> Tensor:
    """[C] weights of the classes, by one over the square root of their share of the pixels, 0.4 to 4."""
    pixels = np.zeros(count)
    for room in list(rooms.rooms.values())[:300]:
        pixels += np.bincount(room.classes.reshape(-1), minlength=count)[:count]
    share = np.maximum(pixels / max(pixels.sum(), 1), 1e-5)
    weight = np.clip(0.15 / np.sqrt(share), 0.4, 4.0)
    return torch.from_numpy(weight.astype(np.float32))


def network_of(trainer: Trainer) -> Network:
    """The trainer's network with the averaged weights."""
    network = models.create(trainer.architecture)
    network.load_state_dict(trainer.average)
    return network
