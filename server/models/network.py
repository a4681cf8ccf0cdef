# SPDX-License-Identifier: GPL-3.0-or-later
"""Posed views to per-pixel depth, classes and features: the two-dimensional half of the network.

    pictures -> shared shallow layers -+-> semantic branch: deep layers, views mixed by attention, pyramid -> class logits
                                       +-> geometry branch: pyramid -> matching features -> plane sweep -> depth

As in GSsplat the branches share their first layers and the semantic decoder sees the depth. Different here: the sweep's planes are equal
steps of log depth between a near and a far that come from the cameras; every view attends to every other, with its rays as position; depth
that is given enters as evidence beside the sweep, with holes, and a learned trust says where it is to be followed.
points.py makes Gaussians of what comes out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .backbone import CHANNELS, Backbone
from .config import NetworkConfig
from .geometry import Rig, sources
from .layers import Attention, Conv, Lateral, Residual, convex_upsample, double, fourier
from .points import PointHead
from .sweep import agreement, agreement_nearby, log_planes


@dataclass(frozen=True)
class Encoded:
    """What pictures say before depths are looked for: geometry [V, C, h, w] at 1/16, 1/8 and 1/4; semantic and matching features at 1/4, sharp
    ones at 1/2.
    """

    geometry: list[Tensor]
    semantic: Tensor
    sharp: Tensor
    matching: Tensor

    def float(self) -> Encoded:
        """All of it in single precision."""
        return Encoded([x.float() for x in self.geometry], self.semantic.float(), self.sharp.float(), self.matching.float())


@dataclass(frozen=True)
class Maps:
    """Per pixel, [V, H, W, ...] at the network's resolution.

    depth: planar, scene units; predicted_depth: the same before given depth is followed. trust: 0 or 1, whether given depth is followed;
    trust_logits: it is where they are above 0. confidence: 0..1, share of the depth distribution near its peak.
    plane_logits: [V, D, H/4, W/4], that distribution over the planes. coarse_depth: [V, H/4, W/4], its local mean.
    normals: [V, H, W, 3] camera axes, unit. logits: [V, C, H, W] of the classes. features: [V, F, H, W] for the point head.
    """

    depth: Tensor
    predicted_depth: Tensor
    trust_logits: Tensor
    confidence: Tensor
    plane_logits: Tensor
    coarse_depth: Tensor
    trust: Tensor
    normals: Tensor
    logits: Tensor
    features: Tensor


class Network(nn.Module):
    """The whole network; `encode` and `decode` make Maps, `points` (see points.py) makes Gaussians of them."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        width, wide, deep = config.channels
        self.backbone = Backbone()
        self.to_tokens = Lateral(CHANNELS[3], deep)
        self.deeper = Lateral(CHANNELS[4], deep)
        self.position = nn.Linear(6 * 9, deep)
        self.attention = nn.ModuleList(Attention(deep, config.heads) for _ in range(config.attention_blocks))
        self.geometry = _Pyramid(deep, width)
        self.semantic = _Pyramid(deep, width)
        self.matching = nn.Conv2d(width, config.matching_channels, 3, padding=1)
        self.sharp = Lateral(CHANNELS[0], 24)
        per_plane = 2 * config.groups + 1
        self.plane = nn.Sequential(nn.Linear(per_plane, 8), nn.GELU(), nn.Linear(8, 2))
        self.shortcut = nn.Linear(per_plane, 1)
        self.depth = _DepthUNet(3 * config.planes + 1 + width, width, wide, deep, config.planes)
        self.depth_edges = nn.Conv2d(width + 4 * 24, 9 * 16, 1)
        self.sight = nn.Sequential(Conv(width * 2 + 1, width), Residual(width), Residual(width))
        self.classify = nn.Conv2d(width, config.class_count, 1)
        self.class_edges = nn.Conv2d(width + 4 * 24, 9 * 16, 1)
        self.refine = _Refinement(width, config.groups)
        self.to_half = Conv(2 * width + 24, 40)
        self.to_full = Conv(40 + 4, config.point_features)
        self.fine = nn.Conv2d(config.point_features, 3 + 1 + config.class_count, 1)
        nn.init.zeros_(self.fine.weight)
        self.believe = nn.Sequential(Conv(config.point_features + 2, 16), nn.Conv2d(16, 1, 1))
        nn.init.zeros_(self.believe[1].weight)  # type: ignore[arg-type]
        nn.init.constant_(self.believe[1].bias, 3.0)  # type: ignore[arg-type]
        with torch.no_grad():  # agreement is a logit from the first step on: so features learn to match at once
            self.shortcut.weight.zero_()
            self.shortcut.weight[0, : config.groups] = 1.0
        self.follow = nn.Parameter(torch.tensor(4.0))
        assert self.fine.bias is not None
        with torch.no_grad():
            self.fine.bias.zero_()
            self.fine.bias[2] = -1.0  # normals begin by facing the camera
        self.points = PointHead(config)

    def encode(self, rgb: Tensor, rig: Rig) -> Encoded:
        """Pictures [V, 3, H, W], sRGB 0..1, of a rig."""
        rgb = rgb.contiguous(memory_format=torch.channels_last)
        half, quarter, eighth, sixteenth, last = self.backbone(rgb)
        sixteenth = self.to_tokens(sixteenth) + F.interpolate(self.deeper(last), sixteenth.shape[2:], mode="bilinear")
        tokens = sixteenth.permute(0, 2, 3, 1) + self.position(_ray_position(rig.resized(*sixteenth.shape[2:])))
        shape = tokens.shape
        if self.config.cross_view or len(rig) == 1:
            tokens = tokens.reshape(-1, shape[-1])
            for block in self.attention:
                tokens = block(tokens)
        else:
            tokens = torch.cat([self._alone(view.reshape(-1, shape[-1])) for view in tokens])
        sixteenth = tokens.reshape(shape).permute(0, 3, 1, 2)
        geometry, semantic = self.geometry(sixteenth, eighth, quarter), self.semantic(sixteenth, eighth, quarter)[2]
        return Encoded(geometry, semantic, self.sharp(half), F.normalize(self.matching(geometry[2]), dim=1) * 4.0)

    def _alone(self, tokens: Tensor) -> Tensor:
        for block in self.attention:
            tokens = block(tokens)
        return tokens

    def decode(self, encoded: Encoded, rgb: Tensor, rig: Rig, given: Tensor, near: float, far: float) -> Maps:
        """Maps for a range of depths. given: [V, H, W] planar depth, 0 where there is none."""
        config = self.config
        planes = log_planes(near, far, config.planes, rgb)
        step = float(planes[1] - planes[0])
        coarse_rig = rig.resized(rig.height // 4, rig.width // 4)
        evidence = _evidence(given[:, 2::4, 2::4], planes, step)
        chosen = sources(rig, near, far, config.sources)
        if not config.cost_volume:
            chosen = chosen[:, :0]
        volume = agreement(encoded.matching, coarse_rig, chosen, planes.exp(), config.groups)
        direct = self.shortcut(volume)[..., 0] + self.follow * evidence[:, :-1]
        volume = self.plane(volume).permute(0, 4, 1, 2, 3).flatten(1, 2)  # [V, 2D, h, w]
        x, plane_logits = self.depth(torch.cat([volume, evidence, encoded.geometry[2]], 1), encoded.geometry)
        plane_logits = plane_logits + direct
        coarse, peak = _local_mean(plane_logits, planes)

        edges = F.pixel_unshuffle(encoded.sharp, 2)
        log_depth = convex_upsample(coarse[:, None], self.depth_edges(torch.cat([x, edges], 1)), 4)
        if config.refinement:
            log_depth = log_depth + self.refine(
                log_depth, step, x, encoded, rig.resized(rig.height // 2, rig.width // 2), chosen
            )
        confidence = F.interpolate(peak[:, None], scale_factor=4.0, mode="bilinear")

        middle = 0.5 * (planes[0] + planes[-1])
        sight = self.sight(torch.cat([encoded.semantic, x, (coarse[:, None] - middle)], 1))
        logits = convex_upsample(self.classify(sight), self.class_edges(torch.cat([sight, edges], 1)), 4)
        full = self.to_half(torch.cat([double(torch.cat([x, sight], 1)), encoded.sharp], 1))
        full = self.to_full(torch.cat([double(full), rgb, log_depth - middle], 1))
        fine = self.fine(full)
        normals = F.normalize(fine[:, :3], dim=1).permute(0, 2, 3, 1)
        predicted = log_depth[:, 0] + step * torch.tanh(fine[:, 3])
        known = (given > 0).to(rgb.dtype)
        log_given = given.clamp(min=1e-9).log()
        reachable = log_given.clamp(planes[0], planes[-1])  # what lies beyond the planes is no contradiction
        off = ((reachable - predicted.detach()) / step).clamp(-2, 2) * known
        trust_logits = self.believe(torch.cat([full, torch.stack([off, known], 1)], 1))[:, 0]
        trust_logits = torch.where(
            given > 0, trust_logits, torch.ones_like(trust_logits)
        )  # holes have no say about their neighbours
        trust = (trust_logits > 0) * known
        return Maps(
            depth=torch.lerp(predicted, log_given, trust).exp(),
            predicted_depth=predicted.exp(),
            trust_logits=trust_logits,
            confidence=torch.lerp(confidence[:, 0], torch.ones_like(trust), trust),
            plane_logits=plane_logits,
            coarse_depth=coarse.exp(),
            trust=trust,
            normals=normals,
            logits=logits + fine[:, 4:],
            features=full,
        )


class _Pyramid(nn.Module):
    """Top-down from 1/16 to 1/4 (as in feature pyramid networks, Lin et al. 2017)."""

    def __init__(self, deep: int, width: int) -> None:
        super().__init__()
        self.reduce = Conv(deep, width, 1)
        self.eighth, self.quarter = Lateral(CHANNELS[2], width), Lateral(CHANNELS[1], width)
        self.mix_eighth, self.mix_quarter = Conv(width, width), Conv(width, width)

    def forward(self, sixteenth: Tensor, eighth: Tensor, quarter: Tensor) -> list[Tensor]:
        x = self.reduce(sixteenth)
        y = self.mix_eighth(double(x) + self.eighth(eighth))
        z = self.mix_quarter(double(y) + self.quarter(quarter))
        return [x, y, z]


class _DepthUNet(nn.Module):
    """Cost volume and pictures to logits over the planes; it carries depth from where views agree to where they say little."""

    def __init__(self, before: int, width: int, wide: int, deep: int, planes: int) -> None:
        super().__init__()
        self.enter = Conv(before, width + 16, 1)
        self.quarter = nn.Sequential(Conv(width + 16, width), Residual(width))
        self.eighth = nn.Sequential(nn.AvgPool2d(2), Conv(width, wide), Residual(wide))
        self.sixteenth = nn.Sequential(nn.AvgPool2d(2), Conv(wide, deep), Residual(deep), Residual(deep))
        self.from_sixteenth, self.from_eighth = Conv(deep + wide + width, wide), Conv(wide + width, width)
        self.context = nn.Conv2d(width, wide, 1)
        self.out = nn.Sequential(Residual(width), nn.Conv2d(width, planes, 1))

    def forward(self, volume: Tensor, pyramid: list[Tensor]) -> tuple[Tensor, Tensor]:
        x = self.quarter(self.enter(volume))
        y = self.eighth(x) + self.context(pyramid[1])
        z = self.sixteenth(y)
        y = self.from_sixteenth(torch.cat([double(torch.cat([z, pyramid[0]], 1)), y], 1))
        x = self.from_eighth(torch.cat([double(y), x], 1))
        return x, self.out(x)


class _Refinement(nn.Module):
    """A second, narrow sweep at 1/2: nine depths around each pixel's, half a plane apart, and how well the other views agree with each.

    It adds what the first sweep cannot see at 1/4: the place of a surface to a fraction of a plane. Then the same again from there, except
    in training: what is learned from the first sweep's errors serves twice, and a second pass would cost a fifth of a step.
    """

    PASSES = 2
    OFFSETS = 4
    CHANNELS = 16

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        count, per_plane = 2 * self.OFFSETS + 1, 2 * groups + 1
        self.groups = groups
        self.matching = nn.Sequential(Conv(width + 24, 24), nn.Conv2d(24, self.CHANNELS, 3, padding=1))
        self.shortcut = nn.Linear(per_plane, 1)
        self.mix = nn.Sequential(Conv(count * per_plane + width + 24, 40), Residual(40), nn.Conv2d(40, count, 1))
        nn.init.zeros_(self.mix[2].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.mix[2].bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.shortcut.weight.zero_()
            self.shortcut.weight[0, :groups] = 0.5

    def forward(self, log_depth: Tensor, step: float, x: Tensor, encoded: Encoded, rig: Rig, sources: Tensor) -> Tensor:
        """What to add to log depth [V, 1, H, W]."""
        features = self.matching(torch.cat([double(encoded.geometry[2]), encoded.sharp], 1))
        features = F.normalize(features, dim=1) * 3.0
        context = torch.cat([double(x), encoded.sharp], 1)
        middle = F.avg_pool2d(log_depth.detach(), 2)
        offsets = torch.arange(-self.OFFSETS, self.OFFSETS + 1, device=x.device, dtype=x.dtype) * (0.5 * step)
        total = torch.zeros_like(middle)
        for number in range(1 if self.training else self.PASSES):
            depths = (middle + total.detach() + offsets[:, None, None]).exp()
            volume = agreement_nearby(features, rig, sources, depths, self.groups)
            flat = volume.permute(0, 1, 4, 2, 3).flatten(1, 2)
            logits = self.shortcut(volume)[..., 0] + self.mix(torch.cat([flat, context], 1))
            shift = (logits.softmax(1) * offsets[:, None, None]).sum(1, keepdim=True)
            if number:  # where no other view sees the surface, the second pass knows nothing that the first did not
                shift = shift * (volume[..., -1].amax(1, keepdim=True) > 0)
            total = total + shift
        return double(total)


def _ray_position(rig: Rig) -> Tensor:
    """[V, h, w, 54] where each pixel's ray starts and points, in the axes of the first camera and in units of the cameras' spread."""
    first = rig.T_camera_world[0]
    T = first @ rig.T_world_camera
    centre = T[:, :3, 3] - T[:, :3, 3].mean(0)
    unit = centre.norm(dim=1).mean().clamp(min=1e-6)
    direction = F.normalize(torch.einsum("vij,vhwj->vhwi", T[:, :3, :3], rig.rays()), dim=-1)
    start = (centre / unit)[:, None, None].expand_as(direction)
    return fourier(torch.cat([direction, start], -1), 4)


def _evidence(given: Tensor, planes: Tensor, step: float) -> Tensor:
    """Depth [V, h, w], 0 for none -> [V, D + 1, h, w]: a bump over the planes around it, and whether there is any."""
    known = (given > 0).to(given.dtype)
    off = (given.clamp(min=1e-9).log()[:, None] - planes[:, None, None]) / step
    return torch.cat([torch.exp(-0.5 * off * off) * known[:, None], known[:, None]], 1)


def _local_mean(logits: Tensor, planes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean log depth of a distribution [V, D, h, w] within two planes of its peak, and the share that lies there, [V, h, w] each.

    A mean over all planes would fall between the two surfaces of an edge.
    """
    share = logits.softmax(1)
    peak = share.argmax(1, keepdim=True)
    place = torch.arange(len(planes), device=logits.device)[:, None, None]
    nearby = share * ((place - peak).abs() <= 2)
    inside = nearby.sum(1)
    return (nearby * planes[:, None, None]).sum(1) / inside, inside
