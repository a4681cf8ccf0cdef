# SPDX-License-Identifier: GPL-3.0-or-later
"""The time left, by a clock that stands still until it is moved."""

import pytest
from splatonym.addon.forecast import Forecast


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def forecast(clock):
    forecast = Forecast(clock)
    forecast.begin("predict")
    return forecast


def run(forecast, clock, stages, kind="predict"):
    """A whole job of stages, {name: seconds}."""
    forecast.begin(kind)
    for stage, seconds in stages.items():
        forecast.tell(stage, 0.0)
        clock.now += seconds
        forecast.tell(stage, 1.0)
    forecast.end()


def test_nothing_is_said_before_anything_is_known(forecast, clock):
    assert forecast.left() is None and forecast.text() == ""
    assert not forecast.tell("Capture", 0.0)
    clock.now += 60
    assert not forecast.tell("Capture", 0.01)  # a minute for a hundredth: too little to go by
    assert forecast.text() == ""


def test_a_stage_that_is_on_its_way_tells_how_long_its_rest_takes(forecast, clock):
    forecast.tell("Capture", 0.0)
    clock.now += 10
    assert forecast.tell("Capture", 0.25)
    assert forecast.left() == pytest.approx(30) and forecast.text() == "30 s"


def test_the_first_moment_of_a_stage_says_nothing_of_it(forecast, clock):
    forecast.tell("Capture", 0.0)
    clock.now += 0.1
    forecast.tell("Capture", 0.5)
    assert forecast.left() is None


def test_the_last_job_of_the_same_kind_tells_what_comes_after(forecast, clock):
    run(forecast, clock, {"Capture": 10, "predict": 40, "Import": 5})
    forecast.begin("predict")
    forecast.tell("Capture", 0.0)
    assert forecast.left() == pytest.approx(55)
    clock.now += 4
    forecast.tell("Capture", 0.2)  # slower than the last time: 4 of 20
    assert forecast.left() == pytest.approx(16 + 45)
    clock.now += 16
    forecast.tell("predict", 0.0)
    assert forecast.left() == pytest.approx(45)  # what is done counts no more
    clock.now += 50
    forecast.tell("predict", 0.0)
    assert forecast.left() == pytest.approx(5)  # longer than the last time is not less than nothing


def test_jobs_of_another_kind_and_cancelled_ones_teach_nothing(forecast, clock):
    run(forecast, clock, {"Faces": 30}, kind="labels")
    forecast.begin("predict")
    forecast.tell("Faces", 0.0)
    assert forecast.left() is None
    clock.now += 20
    forecast.begin("predict")  # the one before did not come to its end
    forecast.tell("Faces", 0.0)
    assert forecast.left() is None


def test_a_stage_that_comes_twice_is_remembered_as_both_together(forecast, clock):
    for stage, seconds in (("Read", 3), ("Send", 1), ("Read", 4)):
        forecast.tell(stage, 0.0)
        clock.now += seconds
    forecast.end()
    forecast.begin("predict")
    forecast.tell("Send", 0.0)
    assert forecast.left() == pytest.approx(1 + 7)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1 s"), (0.2, "1 s"), (7.4, "7 s"), (12, "10 s"), (13, "15 s"), (89, "90 s"), (90, "2 min"), (600, "10 min")],
)
def test_the_number_gets_coarser_with_length(forecast, clock, seconds, text):
    run(forecast, clock, {"predict": seconds})
    forecast.begin("predict")
    forecast.tell("predict", 0.0)
    assert forecast.text() == text


def test_it_tells_when_the_sentence_is_another(forecast, clock):
    run(forecast, clock, {"predict": 60})
    forecast.begin("predict")
    assert forecast.tell("predict", 0.0)
    clock.now += 1
    assert not forecast.tell("predict", 0.0)  # 59 s are said as 60
    clock.now += 2
    assert forecast.tell("predict", 0.0)
    assert forecast.text() == "55 s"
