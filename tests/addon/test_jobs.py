# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps of work: taken to their end, a tick at a time, and in threads. No clock is waited for: events and a clock that is moved by hand are."""

import threading
from dataclasses import replace

import pytest
from splatonym.addon import jobs
from splatonym.addon.jobs import Step, advance, in_thread, run_to_end, threaded
from splatonym.core.errors import InvalidInput

FIRST = Step("Plan", 0.25, "first")
LONG = 30
"""Seconds after which a test gives up on a thread."""


class Clock:
    """Time passes only where the work says so."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(jobs, "time", clock)
    return clock


def outcome_of(work):
    """All steps of a work, and what it returns."""
    steps = []
    while True:
        try:
            steps.append(next(work))
        except StopIteration as end:
            return steps, end.value


def test_what_runs_in_a_thread_gives_its_outcome_and_waiting_steps_meanwhile():
    go, threads = threading.Event(), []

    def work():
        threads.append(threading.current_thread())
        assert go.wait(LONG)
        return "done"

    steps = in_thread(work, FIRST)
    assert [next(steps), next(steps)] == [replace(FIRST, waiting=True)] * 2
    go.set()
    told, outcome = outcome_of(steps)
    assert outcome == "done" and set(told) <= {replace(FIRST, waiting=True)}
    assert threads != [threading.current_thread()] and not threads[0].is_alive()


def test_what_is_done_at_once_costs_no_step():
    assert run_to_end(in_thread(lambda: 7, FIRST), lambda step: pytest.fail(str(step))) == 7


@pytest.mark.parametrize("error", [InvalidInput("No.", "Yes."), ZeroDivisionError("a bug")])
def test_the_error_of_a_thread_is_raised_where_the_steps_are_taken(error):
    def fail():
        raise error

    with pytest.raises(type(error)) as caught:
        run_to_end(in_thread(fail, FIRST))
    assert caught.value is error


def test_steps_that_a_thread_takes_come_out_as_the_newest():
    told, seen = threading.Event(), threading.Event()

    def work():
        yield Step("Plan", 0.5, "second")
        told.set()
        assert seen.wait(LONG)
        yield Step("Plan", 0.75, "third")
        return 3

    steps = threaded(work(), FIRST)
    found = next(steps)
    assert told.wait(LONG)
    assert found in (replace(FIRST, waiting=True), Step("Plan", 0.5, "second", waiting=True))
    assert next(steps) == Step("Plan", 0.5, "second", waiting=True)
    seen.set()
    assert outcome_of(steps)[1] == 3


def test_an_error_between_two_steps_of_a_thread_comes_out():
    def work():
        yield FIRST
        raise InvalidInput("No.", "Yes.")

    with pytest.raises(InvalidInput, match="No"):
        run_to_end(threaded(work(), FIRST))


def test_steps_that_are_closed_early_close_the_work_in_its_thread():
    go, closed = threading.Event(), threading.Event()
    where, went_on = [], []

    def work():
        try:
            yield FIRST
            assert go.wait(LONG)
            yield FIRST
            went_on.append(True)
        finally:
            where.append(threading.current_thread())
            closed.set()

    steps = threaded(work(), FIRST)
    next(steps)
    steps.close()  # does not wait for the thread
    assert not closed.is_set()
    go.set()
    assert closed.wait(LONG)
    assert not went_on and where[0] is not threading.current_thread()


def test_what_a_thread_fails_with_after_it_was_closed_is_nobodys():
    go, ended = threading.Event(), threading.Event()

    def work():
        assert go.wait(LONG)
        try:
            raise InvalidInput("Too late.", "")
        finally:
            ended.set()

    steps = in_thread(work, FIRST)
    next(steps)
    steps.close()
    go.set()
    assert ended.wait(LONG)
    with pytest.raises(StopIteration):
        next(steps)


def test_a_tick_takes_steps_until_its_time_is_up(clock):
    def work():
        for number in range(10):
            clock.now += jobs.BUDGET * 0.3
            yield Step("Read", number / 10)

    steps = work()
    assert advance(steps) == Step("Read", 0.3)  # the fourth step is the first behind the budget
    assert advance(steps) == Step("Read", 0.7)
    with pytest.raises(StopIteration):
        advance(steps)


def test_a_tick_ends_with_a_step_that_waits(clock):
    def work():
        yield Step("Send", 0.0)
        yield Step("Server", 0.0, waiting=True)
        yield Step("Server", 0.5)
        return "there"

    steps = work()
    assert advance(steps).waiting
    with pytest.raises(StopIteration) as end:
        advance(steps)
    assert end.value.value == "there"


def test_a_datablock_that_is_gone_is_told_in_a_sentence(clock):
    def work():
        yield FIRST
        raise ReferenceError("StructRNA of type Object has been removed")

    with pytest.raises(InvalidInput, match="went away"):
        advance(work())
    with pytest.raises(InvalidInput, match="went away"):
        run_to_end(work())


def test_who_listens_hears_each_stage_and_text_once():
    def work():
        yield Step("Read", 0.0, "Room")
        yield Step("Read", 0.5, "Room")
        yield Step("Read", 0.5, "Hall")
        yield Step("Send", 0.0, "Hall", waiting=True)
        return 5

    heard = []
    assert run_to_end(work(), heard.append) == 5
    assert [(step.stage, step.text) for step in heard] == [("Read", "Room"), ("Read", "Hall"), ("Send", "Hall")]


def test_work_that_is_broken_off_from_outside_is_closed_before_the_error_goes_on():
    closed = []

    def work():
        try:
            yield FIRST
        finally:
            closed.append(True)

    def interrupt(step):
        raise KeyboardInterrupt

    running = work()
    with pytest.raises(KeyboardInterrupt):
        run_to_end(running, interrupt)
    assert closed
