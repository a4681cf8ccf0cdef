# SPDX-License-Identifier: GPL-3.0-or-later
"""Views to Gaussians: the predictors that come with the project, and those that others install.

A plug-in declares an entry point in the group "splatonym.predictors": a name, and a class or function that is called without arguments
and returns a `Predictor` (see contract.py). Nothing is imported before it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata

from ...core.errors import NotAvailable
from .contract import Prediction, Predictor

__all__ = ["GROUP", "Prediction", "Predictor", "choose", "names"]

GROUP = "splatonym.predictors"


def _depth_pass() -> Predictor:
    from .depth_pass import DepthPass

    return DepthPass()


def _network() -> Predictor:
    from .network import NetworkPredictor

    return NetworkPredictor()


def _plane_sweep() -> Predictor:
    from .plane_sweep import PlaneSweep

    return PlaneSweep()


_BUILT_IN: dict[str, Callable[[], Predictor]] = {
    "auto": _network, "depth-pass": _depth_pass, "network": _network, "plane-sweep": _plane_sweep,
}  # fmt: skip
"""`auto` is the predictor for any views: the network, which uses depth where there is depth."""


def names() -> list[str]:
    """All predictors there are, loaded or not."""
    return sorted({*_BUILT_IN, *metadata.entry_points(group=GROUP).names})


def choose(name: str) -> Predictor:
    """The predictor of that name; those that come with the project go first."""
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    found = metadata.entry_points(group=GROUP, name=name)
    if not found:
        raise NotAvailable(f"There is no predictor '{name}'.", f"Predictors: {', '.join(names())}.")
    entry = next(iter(found))
    try:
        predictor: Predictor = entry.load()()
    except Exception as error:  # a plug-in may fail in any way; its own words reach the person
        raise NotAvailable(
            f"The predictor '{name}' ({entry.value}) failed to load: {type(error).__name__}: {error}.",
            "Repair or uninstall the package that brings it.",
        ) from error
    if not callable(getattr(predictor, "predict", None)):
        raise NotAvailable(f"The predictor '{name}' ({entry.value}) has no method 'predict'.", "It does not fit this version.")
    return predictor
