# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that somebody types: the label source "text", and the same for scenes that are there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ...core.errors import InvalidInput
from ...core.labels import LabelMap
from ...core.scene import SemanticScene
from ...core.views import Instance, View
from ..job import Job
from ..predictors.contract import Prediction
from ..rasterize.contract import Backend
from ..torch_work import fastest_device
from . import regions
from .clip import fetch, models, sources
from .clip.cache import FeatureCache
from .clip.models import Clip
from .clip.text import COMMON, PROMPTS
from .contract import Labelled
from .language import listen
from .naming import FLOOR, Wording, relabel, typed_names, words_of


@dataclass(frozen=True)
class TextOptions:
    """model: a vision-language model (clip/sources.py), or "auto". regions: one of regions.KINDS. sam_model: which SAM, where there is a choice.
    prompts, floor, rivals: see Wording. allow_download: whether weights that are missing may be fetched.
    """

    model: str = sources.AUTO
    regions: str = "auto"
    sam_model: str = ""
    prompts: tuple[str, ...] = PROMPTS
    floor: float = FLOOR
    rivals: tuple[str, ...] = COMMON
    allow_download: bool = False

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> TextOptions:
        """Options as they come over the wire; one that is unknown or of another type raises InvalidInput."""
        known = {f.name: f.default for f in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in given.items():
            if name not in known:
                raise InvalidInput(f"There is no label option '{name[:40]}'.", f"Options: {', '.join(known)}.")
            if (
                name in ("prompts", "rivals")
                and isinstance(value, (list, tuple))
                and all(isinstance(item, str) for item in value)
            ):
                value = tuple(value)
            if name == "floor" and isinstance(value, int) and not isinstance(value, bool):
                value = float(value)
            if type(value) is not type(known[name]):
                raise InvalidInput(f"The label option '{name}' cannot be {str(value)[:40]!r}.", f"It is like {known[name]!r}.")
            values[name] = value
        options = cls(**values)
        options.wording  # noqa: B018 - checks prompts and floor
        if options.regions not in regions.KINDS:
            raise InvalidInput(f"There are no regions '{options.regions[:40]}'.", f"Regions: {', '.join(regions.KINDS)}.")
        return options

    @property
    def wording(self) -> Wording:
        return Wording(self.prompts, self.floor, self.rivals)


class TextLabels:
    """The label source "text"."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        self.options = TextOptions.read(options or {})

    def prepare(self, labels: LabelMap, job: Job) -> None:
        check_list(labels, loaded(self.options, job)[0])

    def label(
        self,
        prediction: Prediction,
        views: Sequence[View],
        labels: LabelMap,
        instances: Mapping[int, Instance],
        backend: Backend,
        job: Job,
    ) -> Labelled:
        clip, notes = loaded(self.options, job)
        scene, more = described(
            SemanticScene("", prediction.gaussians, labels, instances), views, clip, self.options, backend, job
        )
        scene = relabel(scene, labels, clip, self.options.wording, job)
        return Labelled(scene.gaussians, scene.labels, [*notes, *more], scene.instances, scene.codebook)


def loaded(options: TextOptions, job: Job) -> tuple[Clip, list[str]]:
    """The model of some options, fetched if that is needed and allowed; and what is to be said of the choice."""
    wanted = sources.DEFAULT if options.model == sources.AUTO and options.allow_download else options.model
    name, notes = sources.resolve(wanted)
    source = sources.locate(name)
    if source is None or sources.missing_parts(source.architecture):
        with job.stage("fetch model"):
            fetch.fetch(name, job, allowed=options.allow_download)
    with job.stage("load model"):
        return models.load(name, str(fastest_device())), notes


def speaker(scene: SemanticScene, job: Job) -> Clip:
    """The model that a scene was described by."""
    codebook, _, _ = words_of(scene)
    with job.stage("load model"):
        return models.load(codebook.model, str(fastest_device()))


def check_list(labels: LabelMap, clip: Clip) -> None:
    """Refuse a list that is empty or holds a text that the model cannot read."""
    clip.encode_texts([*typed_names(labels), *(word for words in labels.synonyms.values() for word in words)])


def described(
    scene: SemanticScene, views: Sequence[View], clip: Clip, options: TextOptions, backend: Backend, job: Job
) -> tuple[SemanticScene, list[str]]:
    """The scene with a codebook, from views of it; and notes. Instances that it has already stay."""
    if not views:
        raise InvalidInput("There is no view to describe the scene from.", "Choose at least one camera.")
    chosen, notes = regions.choose(options.regions, views, options.sam_model)
    found = listen(scene.gaussians, views, clip, chosen, backend, job, FeatureCache())
    before = scene.gaussians.instance
    known = before is not None and bool(before.any())
    instance = before if known else found.instance
    # a thing that was found here is not the one of that number there
    instances = scene.instances if known or chosen.exact else {}
    gaussians = replace(scene.gaussians, words=found.words, shares=found.shares, instance=instance)
    if not len(found.codebook):
        notes.append("No view shows a region that is large enough to be described, so everything is unlabelled.")
    unseen = float(np.mean(found.shares[:, 0] == 0)) if len(gaussians) else 0.0
    if unseen > 0.02:
        notes.append(f"{unseen:.0%} of the Gaussians show in no region of any view and stay unlabelled.")
    return replace(scene, gaussians=gaussians, instances=instances, codebook=found.codebook), notes
