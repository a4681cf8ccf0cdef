# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panel lets a person choose reaches the server, and the server knows it."""

from dataclasses import fields

import numpy as np
import pytest
from splatonym.addon import labelling, properties
from splatonym.addon.capture import Captured
from splatonym.addon.jobs import run_to_end
from splatonym.addon.labelling import LabelOptions, predict_steps
from splatonym.addon.operators.results import SETTINGS
from splatonym.core.cameras import Camera, intrinsics
from splatonym.core.labels import LabelMap
from splatonym.core.views import View
from splatonym.server import predictors, semantics


class Asked(Exception):
    """The request got as far as the wire."""


class Client:
    cancelling = False

    def submit(self, verb, params, arrays=None):
        raise Asked(verb, params)


def asked(monkeypatch, **options):
    monkeypatch.setattr(labelling.connection, "client", Client)
    camera = Camera(4, 4, intrinsics(4, 4, 2, 2), np.eye(4))
    captured = Captured([View("one", camera, np.zeros((4, 4, 3), np.uint8))], {}, LabelMap(("chair",)))
    with pytest.raises(Asked) as caught:
        run_to_end(predict_steps(captured, LabelOptions(**options)))
    verb, params = caught.value.args
    assert verb == "predict"
    return params


def test_everything_that_can_be_chosen_is_there():
    assert {item[0] for item in properties.PREDICTORS} <= set(predictors.names())
    assert {item[0] for item in properties.LABEL_SOURCES} <= set(semantics.names())
    assert set(properties.TAKE_DEPTH_OR_LEAVE_IT) <= {item[0] for item in properties.PREDICTORS}
    for name, label, text in (*properties.PREDICTORS, *properties.LABEL_SOURCES):
        assert name and label and text and not text.endswith(".")


def test_the_panels_settings_the_operators_and_the_options_are_the_same():
    names = {f.name for f in fields(LabelOptions)}
    panel = set(properties.SplatonymSettings.__annotations__)
    assert set(SETTINGS) == panel == names - {"camera_names"}


@pytest.mark.parametrize("predictor", ["auto", "network", "depth-pass"])
@pytest.mark.parametrize("source", ["scene", "network"])
def test_the_choice_reaches_the_server(monkeypatch, predictor, source):
    params = asked(monkeypatch, predictor=predictor, label_source=source)
    assert (params["predictor"], params["label_source"], params["options"]) == (predictor, source, {})


def test_only_predictors_that_can_do_without_depth_are_told_to(monkeypatch):
    for name in properties.TAKE_DEPTH_OR_LEAVE_IT:
        assert asked(monkeypatch, predictor=name, use_depth=False)["options"] == {"use_depth": False}
    assert asked(monkeypatch, predictor="depth-pass", use_depth=False)["options"] == {}
