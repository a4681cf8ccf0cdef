# SPDX-License-Identifier: GPL-3.0-or-later
"""The five messages and back, and what becomes of malformed ones."""

import io
import json

import numpy as np
import pytest
from splatonym.core.errors import Cancelled, InvalidInput, NotAvailable
from splatonym.core.wire import errors
from splatonym.core.wire.framing import FRAME_VERSION, MAGIC, PRELUDE, FrameReader
from splatonym.core.wire.messages import Cancel, Failure, Progress, Request, Result, pack, read_message

MESSAGES = [
    Request(1, "predict", {"name": "Küche", "n": [1, 2.5, None]}, {"view.0.rgb": np.zeros((2, 2, 3), np.uint8)}),
    Request(2, "scenes"),
    Cancel(2),
    Progress(1, "fuse", 0.25, "view 3 of 8"),
    Progress(1, "fuse", 1, ""),
    Result(1, {"id": "küche-012345"}, {"scene.means": np.ones((0, 3), np.float32)}),
    Failure(0, "wrong-magic", "What?", "Repair it."),
]


def encoded(header, payload=b""):
    text = json.dumps(header).encode()
    return PRELUDE.pack(MAGIC, FRAME_VERSION, len(text), len(payload)) + text + payload


def test_all_messages_come_back():
    pipe = io.BytesIO()
    for message in MESSAGES:
        pack(message).write_to(pipe)
    pipe.seek(0)
    reader = FrameReader(pipe)
    for message in MESSAGES:
        back = read_message(reader)
        assert type(back) is type(message)
        for name, value in vars(message).items():
            if name == "arrays":
                assert {k: (a.dtype, a.shape) for k, a in back.arrays.items()} == {
                    k: (a.dtype, a.shape) for k, a in value.items()
                }
            else:
                assert getattr(back, name) == value
    assert read_message(reader) is None


@pytest.mark.parametrize(
    "header",
    [{}, {"type": "request"}, {"type": "request", "id": "1"}, {"type": "cancel", "id": 0}, {"type": "cancel", "id": True},
     {"type": "cancel", "id": -1}, {"type": "cancel", "id": 1 << 60}, {"type": "cancel", "id": 1.0}],
)  # fmt: skip
def test_without_a_number_nobody_can_be_told(header):
    with pytest.raises(errors.BadHeader, match="number"):
        read_message(FrameReader(io.BytesIO(encoded(header))))


@pytest.mark.parametrize(
    "header",
    [
        {"id": 7},
        {"id": 7, "type": "dance"},
        {"id": 7, "type": ["request"]},
        {"id": 7, "type": "request"},
        {"id": 7, "type": "request", "body": []},
        {"id": 7, "type": "request", "body": {"verb": "hello"}},
        {"id": 7, "type": "request", "body": {"verb": 3, "params": {}}},
        {"id": 7, "type": "request", "body": {"verb": "hello", "params": []}},
        {"id": 7, "type": "request", "body": {"verb": "hello", "params": {}, "more": 1}},
        {"id": 7, "type": "progress", "body": {"stage": "", "fraction": True, "text": ""}},
    ],
)
def test_a_malformed_message_knows_whom_it_concerns(header):
    reader = FrameReader(io.BytesIO(encoded(header) + encoded({"id": 8, "type": "cancel", "body": {}})))
    with pytest.raises(errors.BadMessage) as caught:
        read_message(reader)
    assert caught.value.request_id == 7
    assert read_message(reader) == Cancel(8)


def test_arrays_travel_with_requests_and_results_only():
    arrays = [{"name": "a", "dtype": "u1", "shape": [2], "offset": 0}]
    with pytest.raises(errors.BadMessage, match="carries arrays"):
        read_message(FrameReader(io.BytesIO(encoded({"id": 7, "type": "cancel", "body": {}, "arrays": arrays}, b"ab"))))


def test_memory_that_is_not_there_is_an_error_of_the_request(monkeypatch):
    def full(*_):
        raise MemoryError

    data = encoded({"id": 7, "type": "request", "body": {"verb": "x", "params": {}},
                    "arrays": [{"name": "a", "dtype": "u1", "shape": [2], "offset": 0}]}, b"ab")  # fmt: skip
    reader = FrameReader(io.BytesIO(data + encoded({"id": 8, "type": "cancel", "body": {}})))
    with monkeypatch.context() as patch:
        patch.setattr(np, "empty", full)
        with pytest.raises(errors.OutOfMemory) as caught:
            read_message(reader)
    assert caught.value.request_id == 7
    assert read_message(reader) == Cancel(8)


def test_failures_become_the_exceptions_they_were():
    for cls in (Cancelled, InvalidInput, NotAvailable, errors.NotFinite):
        error = errors.error_of(cls.kind, "m", "h")
        assert type(error) is cls and (error.message, error.hint) == ("m", "h")
    other = errors.error_of("internal", "m", "h")
    assert other.kind == "internal" and other.sentence() == "m h"
