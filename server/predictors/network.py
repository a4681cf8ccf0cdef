# SPDX-License-Identifier: GPL-3.0-or-later
"""Labelled Gaussians from posed pictures by the trained network, with depth used where it is given.

The network sweeps all depths that the cameras allow, or that are given. Its maps are brought to the pictures' own resolution, lifted to points,
and those to Gaussians (models/points.py); opacity and colour are corrected through the rasterizer as in the predictor "depth-pass".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...core.errors import InvalidInput
from ...core.gaussians import GaussianArrays, sh_from_rgb
from ...core.views import View
from ..job import Job
from ..models import weights
from ..models.geometry import Rig, focus, overlap, wide_range
from ..models.lifting import lift
from ..models.network import Maps, Network
from ..models.points import Maps2D, Splats
from ..rasterize import choice as rasterize
from ..torch_work import Cancellable, fastest_device
from .contract import ClassMaps, Prediction
from .refine import fade_spill, recolour

MOST_VIEWS = 8
_STEP = 32
_LEAST_OVERLAP = 0.05
_MARGIN = 1.35
"""The sweep begins this much before the nearest depth that is given, and ends as much behind the farthest."""
_FIELD_OF_VIEW = (1.0, 170.0)


@dataclass(frozen=True)
class Options:
    """model: trained weights by name, or the path of a .safetensors file. views: used at most, the best of more.
    near, far: depths between which surfaces are looked for, scene units; 0 finds them.
    use_depth: whether given depth is used. holes: what a pixel without depth in a view with depth is: "leave" nothing, "fill" unknown.
    rounds: of colour correction. mirror: whether names are asked of the mirrored pictures, too; it takes the network twice as long.
    """

    model: str = weights.DEFAULT
    views: int = MOST_VIEWS
    near: float = 0.0
    far: float = 0.0
    use_depth: bool = True
    holes: str = "leave"
    rounds: int = 2
    mirror: bool = True


_KINDS: dict[str, tuple[type, ...]] = {
    "model": (str,), "views": (int,), "near": (int, float), "far": (int, float), "use_depth": (bool,), "holes": (str,), "rounds": (int,),
    "mirror": (bool,),
}  # fmt: skip


def read_options(values: Mapping[str, Any]) -> Options:
    """Options by name; an unknown one, or a value that it cannot have, raises InvalidInput."""
    for name, value in values.items():
        if name not in _KINDS:
            known = ", ".join(sorted(f.name for f in fields(Options)))
            raise InvalidInput(f"The predictor 'network' has no option '{name}'.", f"Options: {known}.")
        if not isinstance(value, _KINDS[name]) or (isinstance(value, bool) and bool not in _KINDS[name]):
            raise InvalidInput(f"The option '{name}' is {value!r}.", f"Use a {' or '.join(k.__name__ for k in _KINDS[name])}.")
    options = Options(**values)
    if not 1 <= options.views <= MOST_VIEWS:
        raise InvalidInput(f"The option 'views' is {options.views}.", f"Use 1 to {MOST_VIEWS}.")
    if options.holes not in ("leave", "fill"):
        raise InvalidInput(f"The option 'holes' is {options.holes!r}.", "Use 'leave' or 'fill'.")
    if not 0 <= options.rounds <= 20:
        raise InvalidInput(f"The option 'rounds' is {options.rounds}.", "Use 0 to 20.")
    bounds = (options.near, options.far)
    if bounds != (0, 0) and not 0 < options.near < options.far < math.inf:
        raise InvalidInput(
            f"Surfaces cannot lie from {options.near:g} to {options.far:g}.", "Use 0 < near < far, or 0 for both."
        )
    return options


class NetworkPredictor:
    """The predictor "network", and "auto"."""

    def predict(self, views: Sequence[View], options: Mapping[str, Any], job: Job) -> Prediction:
        chosen = read_options(options)
        with job.stage("load network"):
            trained = weights.load(chosen.model)
        views, notes = usable(views, chosen)
        with torch.inference_mode(), Cancellable(job):
            seen = Seen.of(views, trained.network.config.pixels, chosen.use_depth)
            views, seen, more = select(views, seen, chosen.views)
            notes += more
            device = fastest_device()
            network, seen = trained.network.to(device), seen.to(device)
            with job.stage("encode"):
                encoded = network.encode(seen.rgb, seen.rig)
            bounds = bounds_of(seen, chosen)
            with job.stage("sweep depth"):
                maps = network.decode(encoded, seen.rgb, seen.rig, seen.depth, *bounds)
            with job.stage("name"):
                classes = ClassMaps(views, class_logits(network, maps, seen, bounds, chosen).cpu().numpy(), trained.labels)
            with job.stage("lift to points"):  # without classes: these are registered when labels are wanted
                lifted = lift_views(replace(maps, logits=maps.logits[:, :0]), views, chosen)
            del encoded, maps
            with job.stage("gather points"):
                splats, _ = network.points.splats(lifted.maps, lifted.rig)
                gaussians = to_arrays(splats)
            depths = (lifted.maps.depth * lifted.maps.solid).cpu()
            known = [replace(view, depth=depth.numpy()) for view, depth in zip(views, depths, strict=True)]
            points = int(lifted.maps.solid.sum())
            del splats, lifted
        backend = rasterize.choose()
        with job.stage("refine opacity"):
            gaussians = fade_spill(gaussians, known, backend, job)
        with job.stage("refine colour"):
            gaussians = recolour(gaussians, known, chosen.rounds, backend, job)
        figures = {
            "model": trained.name, "model_sha256": trained.sha256, "near": round(bounds[0], 4), "far": round(bounds[1], 4),
            "views_with_depth": sum(v.depth is not None for v in views) if chosen.use_depth else 0, "points": points,
        }  # fmt: skip
        return Prediction(gaussians, notes, figures, classes)


@dataclass(frozen=True)
class Seen:
    """Views at the network's resolution: rgb [V, 3, h, w], depth [V, h, w] (0 unknown), rig."""

    rgb: Tensor
    depth: Tensor
    rig: Rig

    @staticmethod
    def of(views: Sequence[View], pixels: int, use_depth: bool) -> Seen:
        camera = views[0].camera
        height, width = internal_size(camera.height, camera.width, pixels)
        rig = rig_of(views).resized(height, width)
        rgb, depth = torch.empty(len(views), 3, height, width), torch.empty(len(views), height, width)
        for k, view in enumerate(views):  # one at a time: there may be many, and large ones
            picture, known = pictures([view]), given_depth([view], use_depth)
            if (height, width) != (camera.height, camera.width):
                picture = F.interpolate(picture, size=(height, width), mode="bilinear", align_corners=False, antialias=True)
                known = F.interpolate(known[:, None], size=(height, width), mode="nearest-exact")[:, 0]
            rgb[k], depth[k] = picture[0], known[0]
        return Seen(rgb.contiguous(memory_format=torch.channels_last), depth, rig)

    def pick(self, which: Sequence[int]) -> Seen:
        some = torch.tensor(which)
        return Seen(self.rgb[some], self.depth[some], self.rig.pick(some))

    def mirrored(self) -> Seen:
        rgb = self.rgb.flip(-1).contiguous(memory_format=torch.channels_last)
        return Seen(rgb, self.depth.flip(-1), self.rig.mirrored())

    def to(self, device: torch.device) -> Seen:
        return Seen(self.rgb.to(device), self.depth.to(device), self.rig.to(device))


@dataclass(frozen=True)
class Lifted:
    maps: Maps2D
    rig: Rig


def rig_of(views: Sequence[View]) -> Rig:
    """The views' cameras as float32."""
    K = torch.from_numpy(np.stack([view.camera.K for view in views])).float()
    T = torch.from_numpy(np.stack([view.camera.T_world_camera for view in views])).float()
    return Rig(K, T, views[0].camera.height, views[0].camera.width)


def pictures(views: Sequence[View]) -> Tensor:
    """[V, 3, H, W] sRGB 0..1."""
    return torch.stack([torch.from_numpy(view.rgb.copy()).permute(2, 0, 1).float() / 255 for view in views])


def given_depth(views: Sequence[View], use_depth: bool) -> Tensor:
    """[V, H, W] the views' own depth, 0 where there is none."""
    empty = np.zeros((views[0].camera.height, views[0].camera.width), np.float32)
    maps = [view.depth if use_depth and view.depth is not None else empty for view in views]
    return torch.from_numpy(np.stack(maps).astype(np.float32))


def internal_size(height: int, width: int, pixels: int) -> tuple[int, int]:
    """Height and width of about `pixels` in all and about the same shape, multiples of 32 and at least that.

    A picture that is very long is squeezed along: what the network takes grows with the square of its pixels.
    """
    scale = math.sqrt(pixels / (height * width))
    rows, columns = (max(_STEP, round(side * scale / _STEP) * _STEP) for side in (height, width))
    if rows * columns > 1.5 * pixels:
        most = max(_STEP, pixels // min(rows, columns) // _STEP * _STEP)
        rows, columns = min(rows, most), min(columns, most)
    return rows, columns


def usable(views: Sequence[View], options: Options) -> tuple[list[View], list[str]]:
    """The views that the network can use, and notes on those that it cannot; none left, or views that do not go together, raise InvalidInput."""
    flat = [view for view in views if view.camera.projection == "perspective"]
    if not flat:
        raise InvalidInput(
            "All cameras are orthographic, and the network needs perspective ones.",
            "Use the predictor 'depth-pass' with the label source 'scene'.",
        )
    notes = [f"Orthographic cameras were left out: {_named(v for v in views if v.camera.projection != 'perspective')}."]
    notes = notes if len(flat) < len(views) else []
    sizes = {(view.camera.width, view.camera.height) for view in flat}
    if len(sizes) > 1:
        text = ", ".join(f"{w}x{h}" for w, h in sorted(sizes))
        raise InvalidInput(
            f"The views have different sizes ({text}).", "The network needs one size: render all at the same resolution."
        )
    for view in flat:
        for focal, side in ((view.camera.fx, view.camera.width), (view.camera.fy, view.camera.height)):
            angle = math.degrees(2 * math.atan(0.5 * side / focal))
            if not _FIELD_OF_VIEW[0] <= angle <= _FIELD_OF_VIEW[1]:
                raise InvalidInput(
                    f"The field of view of '{view.name}' is {angle:.3g} degrees.",
                    f"Use {_FIELD_OF_VIEW[0]:g} to {_FIELD_OF_VIEW[1]:g} degrees, or check the camera's focal length.",
                )
    with_depth = [view for view in flat if options.use_depth and view.depth is not None and (view.depth > 0).any()]
    empty = [view for view in flat if options.use_depth and view.depth is not None and not (view.depth > 0).any()]
    if empty and options.holes == "leave":
        flat = [view for view in flat if not any(view is one for one in empty)]
        if not flat:
            raise InvalidInput(
                f"By their depth there is nothing to see in {_named(empty)}.",
                "Point the cameras at something, or set the option holes=fill or use_depth=false.",
            )
        notes.append(f"By their depth nothing is seen by {_named(empty)}.")
    blank = [view for view in flat if int(view.rgb.max()) - int(view.rgb.min()) <= 2]
    if len(blank) == len(flat) and not with_depth:
        raise InvalidInput(
            f"There is nothing to see in {_named(blank)}.", "Check the light, and that no camera stands inside something."
        )
    if blank:
        notes.append(f"Nothing is to be seen in {_named(blank)}.")
    return flat, notes


def select(views: Sequence[View], seen: Seen, most: int) -> tuple[list[View], Seen, list[str]]:
    """At most so many views, those that together see most of what all see; and notes on what that leaves."""
    notes = []
    near, far = wide_range(seen.rig)
    middle = math.sqrt(near * far)
    shared = overlap(seen.rig, middle / 4, middle * 4)
    if len(views) > most:
        left: list[int] = []
        best = torch.zeros(len(views))
        for _ in range(most):
            gain = torch.maximum(shared, best[:, None]).sum(0)
            gain[left] = -1
            left.append(int(gain.argmax()))
            best = torch.maximum(best, shared[:, left[-1]])
        left.sort()
        gone = [view for k, view in enumerate(views) if k not in left]
        notes.append(f"Of {len(views)} views the {most} that see most were used; left out: {_named(gone)}.")
        views, seen, shared = [views[k] for k in left], seen.pick(left), shared[left][:, left]
    guessed = [view for k, view in enumerate(views) if not (seen.depth[k] > 0).any()]
    if len(views) == 1:
        if guessed:
            notes.append("From one view without depth, depth is guessed, and so is its scale.")
    else:
        alone = shared.clone()
        alone.fill_diagonal_(0)
        lonely = (alone.amax(1) < _LEAST_OVERLAP) | torch.tensor(focus(seen.rig) == 0)
        if names := [view for view, lone in zip(views, lonely, strict=True) if lone and any(view is one for one in guessed)]:
            notes.append(f"No other view sees what these see, so their depth is guessed: {_named(names)}.")
    return list(views), seen, notes


def bounds_of(seen: Seen, options: Options) -> tuple[float, float]:
    """Near and far: as asked for; from depth if all views have some and its holes stay empty; else from the cameras, and what depth there is."""
    if options.near > 0:
        return options.near, options.far
    known = seen.depth[seen.depth > 0]
    if options.holes == "leave" and (seen.depth > 0).any(dim=(1, 2)).all():
        return around(known)
    near, far = wide_range(seen.rig)
    if len(known):
        nearest, farthest = around(known)
        near, far = min(near, nearest), max(far, farthest)
    return near, far


def class_logits(network: Network, maps: Maps, seen: Seen, bounds: tuple[float, float], options: Options) -> Tensor:
    """[V, C, h, w] what maps say of classes and, if asked for, what the mirrored pictures say: the logarithm of the sum of both shares."""
    if not options.mirror:
        return maps.logits
    other = seen.mirrored()
    mirrored = network.decode(network.encode(other.rgb, other.rig), other.rgb, other.rig, other.depth, *bounds).logits.flip(-1)
    return torch.logaddexp(maps.logits.log_softmax(1), mirrored.log_softmax(1))


def around(depth: Tensor) -> tuple[float, float]:
    """Near and far around nearly all of some depths."""
    flat = depth.reshape(-1)
    flat = flat[:: max(1, len(flat) // 100_000)]
    low, high = torch.quantile(flat, flat.new_tensor([0.005, 0.995])).tolist()
    return low / _MARGIN, high * _MARGIN


def lift_views(maps: Maps, views: Sequence[View], options: Options) -> Lifted:
    """Maps at the views' own resolution."""
    device = maps.depth.device
    rig = rig_of(views).to(device)
    rgb, given = pictures(views).to(device), given_depth(views, options.use_depth).to(device)
    lifted = lift(maps, rgb, rig, given)
    if options.holes == "leave":
        whole = torch.tensor([not (options.use_depth and view.depth is not None) for view in views], device=device)
        lifted = replace(lifted, solid=(given > 0) | whole[:, None, None])
    return Lifted(lifted, rig)


def to_arrays(splats: Splats) -> GaussianArrays:
    """Splats as the product's Gaussians."""
    return GaussianArrays(
        means=splats.means.cpu().numpy(),
        quats=splats.quats.cpu().numpy(),
        scales=splats.scales.cpu().numpy(),
        opacities=splats.opacities.cpu().numpy(),
        sh=sh_from_rgb(splats.colours.cpu().numpy()),
    )


def _named(views: Any) -> str:
    """Names in a row, the first few of many."""
    names = [view.name for view in views]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
