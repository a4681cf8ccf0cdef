# SPDX-License-Identifier: GPL-3.0-or-later
"""From per-pixel maps to Gaussians: points of all views meet in space, agree on surfaces, and become one set of splats.

1. Every pixel is a point; points that share a cell of space share features (GSsplat's spatial unit aggregation).
2. A small head gives each point an offset, and what its Gaussian differs by from the plain one: a flat splat on the surface's tangent
   plane that covers its pixel. All differences begin at zero, so an untrained head gives the plain splats.
3. Views that see one surface average their positions; of several points on it the best resolved stays; what others look through goes.
4. What is left is merged in cells of about a footprint: N grows with the surface that is seen, not with the number of views.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import NetworkConfig
from .consensus import consensus
from .geometry import Rig
from .layers import hard

SIZE = 0.42
"""Standard deviation of a plain splat in pixel footprints,"""
THIN = 0.05
"""its thickness as a share of that,"""
STRETCH = 4.0
"""how many times longer than wide it may be on a slanted surface,"""
OPACITY = 0.92
"""and its opacity: the values that the predictor "depth-pass" was tuned to."""
MERGE_CELL = 0.7
MOST_OFFSET = 0.05
"""A point moves by at most this share of its depth."""
LEAST_FACING = 0.1
EDGE_WEIGHT = 0.1
"""What a point beside a jump in depth counts in means: it mixes two surfaces."""
EDGE_JUMP = 0.02
"""Such a jump, as a share of the depth."""
AT_A_TIME = 1 << 18


@dataclass(frozen=True)
class Maps2D:
    """What points are made from, at the resolution of the Gaussians: depth, confidence, trust [V, H, W]; normals [V, H, W, 3] camera axes;
    logits [V, C, H, W]; features [V, F, H, W]; rgb [V, 3, H, W] sRGB 0..1; solid [V, H, W] bool, where there is anything at all.
    """

    depth: Tensor
    confidence: Tensor
    trust: Tensor
    normals: Tensor
    logits: Tensor
    features: Tensor
    rgb: Tensor
    solid: Tensor


@dataclass(frozen=True)
class Points:
    """N points with what their Gaussians will be, [N, ...].

    position: world, scene units. ray: unit, camera to point. normal: unit, world, towards the camera. footprint: what a pixel measures
    there. stretch: three factors on the plain splat's length, width and thickness. opacity: 0..1. colour: sRGB. logits: of the classes.
    weight: in means. own_opacity, own_stretch: of the Gaussians that carry the classes, the same as the others unless the config says so.
    """

    position: Tensor
    ray: Tensor
    normal: Tensor
    footprint: Tensor
    stretch: Tensor
    opacity: Tensor
    colour: Tensor
    logits: Tensor
    weight: Tensor
    own_opacity: Tensor
    own_stretch: Tensor

    def __len__(self) -> int:
        return len(self.position)

    def select(self, which: Tensor) -> Points:
        return Points(**{f.name: getattr(self, f.name)[which] for f in fields(self)})


@dataclass(frozen=True)
class Splats:
    """N Gaussians as `Backend.rasterize` takes them, with colours [N, 3] sRGB and class logits [N, C]; own_*: see Points."""

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    colours: Tensor
    logits: Tensor
    own_scales: Tensor
    own_opacities: Tensor

    def __len__(self) -> int:
        return len(self.means)


class PointHead(nn.Module):
    """Maps of several views to points, and those to splats."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        before = config.point_features
        self.enter = nn.Linear(before + 4, before)
        self.mix = nn.Sequential(nn.Linear(2 * before, 48), nn.GELU(), nn.Linear(48, 48), nn.GELU())
        # opacity, stretch 3, normal 3, colour 3, offset gate, offset 3; for the classes' own Gaussians opacity and stretch again
        self.change = nn.Linear(48, 14 + (4 if config.own_semantics else 0))
        nn.init.zeros_(self.change.weight)
        nn.init.zeros_(self.change.bias)
        with torch.no_grad():
            self.change.bias[10] = -2.0  # offsets begin closed

    def forward(self, maps: Maps2D, rig: Rig) -> tuple[Points, Tensor]:
        """All pixels as points [V*H*W], and their positions as a picture [V, H, W, 3] (with offsets)."""
        rays = rig.rays()
        lengths = rays.norm(dim=-1)
        world = rig.T_world_camera[:, :3, :3]
        base = rig.unproject(maps.depth)
        footprint = maps.depth / rig.focal()[:, None, None]
        looks = torch.cat([maps.features, maps.rgb, maps.confidence[:, None]], 1).permute(0, 2, 3, 1)
        f = self.enter(looks).reshape(-1, self.config.point_features)
        g = f
        if self.config.point_interaction:
            g = interact(f, base.detach().reshape(-1, 3), self.config.cell * footprint.detach().reshape(-1))
        change = self._changes(f, g).reshape(*maps.depth.shape, -1)
        # what is learned makes up for depth that is not quite right; where depth is given, the plain splat is
        plain = torch.zeros_like(change)
        plain[..., 10] = -1.0  # no offset
        change = torch.where((maps.trust > 0.5)[..., None], plain, change)

        position = base
        if self.config.offsets:
            gate = hard(change[..., 10:11].sigmoid())
            position = base + gate * change[..., 11:14].tanh() * MOST_OFFSET * maps.depth[..., None]
        normals = F.normalize(maps.normals + change[..., 4:7], dim=-1)
        facing = -(normals * rays).sum(-1) / lengths
        weight = maps.confidence.detach() * facing.detach().clamp(min=LEAST_FACING) / footprint.detach() ** 2
        weight = torch.where(edges(maps.depth.detach()), EDGE_WEIGHT * weight, weight)

        def flat(x: Tensor) -> Tensor:
            return x.flatten(0, 2)

        opacity = _opacity(change[..., 0])
        stretch = change[..., 1:4].clamp(-2, 2).exp()
        own = self.config.own_semantics
        points = Points(
            position=flat(position),
            ray=flat(torch.einsum("vij,vhwj->vhwi", world, rays / lengths[..., None])),
            normal=flat(torch.einsum("vij,vhwj->vhwi", world, normals)),
            footprint=flat(footprint),
            stretch=flat(stretch),
            opacity=flat(opacity),
            colour=flat((maps.rgb.permute(0, 2, 3, 1) + 0.5 * change[..., 7:10].tanh()).clamp(0, 1)),
            logits=flat(maps.logits.permute(0, 2, 3, 1)),
            weight=flat(weight),
            own_opacity=flat(_opacity(change[..., 14]) if own else opacity),
            own_stretch=flat(change[..., 15:18].clamp(-2, 2).exp() if own else stretch),
        )
        return points, position

    def _changes(self, f: Tensor, g: Tensor) -> Tensor:
        """Points are handled some at a time where no gradient is wanted: 8 views of 512x512 are two million."""
        most = len(f) if torch.is_grad_enabled() else AT_A_TIME
        both = zip(torch.split(f, most), torch.split(g, most), strict=True)
        return torch.cat([self.change(self.mix(torch.cat(some, 1))) for some in both])

    def splats(self, maps: Maps2D, rig: Rig) -> tuple[Splats, Tensor]:
        """The Gaussians of several views as one set, and the points' positions before they were brought together [V, H, W, 3]."""
        points, positions = self(maps, rig)
        agreed = consensus(positions, maps, edges(maps.depth.detach()), rig)
        points = Points(**{**_columns(points), "position": agreed.positions.reshape(-1, 3)})
        points = points.select((agreed.kept & maps.solid).reshape(-1))
        return to_splats(merge(points, MERGE_CELL)), positions


def _columns(points: Points) -> dict[str, Tensor]:
    return {f.name: getattr(points, f.name) for f in fields(points)}


def _opacity(change: Tensor) -> Tensor:
    return (change + math.log(OPACITY / (1 - OPACITY))).sigmoid().clamp(1e-3, 0.999)


def edges(depth: Tensor) -> Tensor:
    """[V, H, W] bool, where a neighbour's depth differs much more than on the other side: the surface breaks off there."""
    z = F.pad(depth.log()[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    middle = z[:, 1:-1, 1:-1]
    across, along = z[:, 1:-1, :-2] + z[:, 1:-1, 2:] - 2 * middle, z[:, :-2, 1:-1] + z[:, 2:, 1:-1] - 2 * middle
    return torch.maximum(across.abs(), along.abs()) > EDGE_JUMP


def cells(position: Tensor, side: Tensor) -> tuple[Tensor, int]:
    """[N] the number of the cell that each point lies in, and how many there are. A cell's side is the power of two nearest to the point's."""
    level = side.clamp(min=1e-12).log2().round()
    place = torch.floor(position / 2.0 ** level[:, None]).to(torch.int64)
    key = level.to(torch.int64)
    for column in place.unbind(1):  # a hash; a collision mixes two cells, once in millions
        key = (key * 0x1F123BB5 + column) * 0x9E3779B1
        key = key ^ (key >> 29)
    numbers, group = torch.unique(key, return_inverse=True)
    return group, len(numbers)


def _sums(values: Tensor, group: Tensor, count: int) -> Tensor:
    return values.new_zeros(count, *values.shape[1:]).index_add(0, group, values)


def interact(f: Tensor, position: Tensor, side: Tensor) -> Tensor:
    """g = f + d * mean of f in the cell [N, F], d being the distance from the cell's mean point in units of its side (GSsplat)."""
    group, count = cells(position, side)
    number = _sums(torch.ones_like(side), group, count)[:, None]
    mean, middle = _sums(f, group, count) / number, _sums(position, group, count) / number
    d: Tensor = (position - middle[group]).norm(dim=1, keepdim=True) / side[:, None]
    return f + d * mean[group]


def merge(points: Points, cell: float) -> Points:
    """One point for each occupied cell of `cell` footprints: weighted means of everything, the weights added up."""
    if not len(points):
        return points
    group, count = cells(points.position.detach(), cell * points.footprint.detach())
    total = _sums(points.weight, group, count)
    share = points.weight / total[group]
    columns = {name: v[:, None].flatten(1) for name, v in _columns(points).items()}
    mean = _sums(torch.cat([*columns.values()], 1) * share[:, None], group, count)
    parts = dict(zip(columns, torch.split(mean, [v.shape[1] for v in columns.values()], 1), strict=True))
    out = {name: part.reshape(count, *getattr(points, name).shape[1:]) for name, part in parts.items()}
    out["weight"] = total
    return Points(**out)


def to_splats(points: Points) -> Splats:
    """Flat Gaussians on the tangent planes, longer along the slant as a pixel's image there is."""
    normal, ray = F.normalize(points.normal, dim=1), F.normalize(points.ray, dim=1)
    cosine = -(normal * ray).sum(1, keepdim=True)
    normal = torch.where(cosine < 0, -normal, normal)
    cosine = cosine.abs().clamp(max=1.0)
    along = ray + cosine * normal
    length = along.norm(dim=1, keepdim=True)
    axis = torch.where(normal[:, :1].abs() < 0.9, normal.new_tensor([[1.0, 0, 0]]), normal.new_tensor([[0.0, 1, 0]]))
    across = F.normalize(torch.linalg.cross(normal, axis), dim=1)
    along = torch.where(length > 1e-3, along / length.clamp(min=1e-3), across)
    axes = torch.stack([along, torch.linalg.cross(normal, along), normal], -1)
    width = SIZE * points.footprint
    longer = (1 / cosine[:, 0].clamp(min=1e-3)).clamp(max=STRETCH).detach()
    plain = torch.stack([width * longer, width, width * THIN], 1)
    return Splats(
        means=points.position,
        quats=quaternions(axes),
        scales=plain * points.stretch,
        opacities=points.opacity,
        colours=points.colour,
        logits=points.logits,
        own_scales=plain * points.own_stretch,
        own_opacities=points.own_opacity,
    )


def quaternions(R: Tensor) -> Tensor:
    """Rotation matrices [N, 3, 3] -> unit quaternions wxyz [N, 4], by whichever component is largest (Shepperd 1978)."""
    xx, yy, zz = R[:, 0, 0], R[:, 1, 1], R[:, 2, 2]
    squares = torch.stack([1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz], 1)
    a, b, c = R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]
    d, e, f = R[:, 1, 0] + R[:, 0, 1], R[:, 0, 2] + R[:, 2, 0], R[:, 2, 1] + R[:, 1, 2]
    w, x, y, z = squares.unbind(1)
    rows = torch.stack([torch.stack(row, 1) for row in ([w, a, b, c], [a, x, d, e], [b, d, y, f], [c, e, f, z])], 1)
    largest = squares.argmax(1)
    return F.normalize(rows[torch.arange(len(R), device=R.device), largest], dim=1)
