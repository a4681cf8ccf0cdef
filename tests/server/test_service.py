# SPDX-License-Identifier: GPL-3.0-or-later
"""The service over real pipes, with verbs made for the test: order, progress, cancelling, damage, and the end."""

import json
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from splatonym.core.wire import errors
from splatonym.core.wire.framing import FRAME_VERSION, MAGIC, PRELUDE, FrameReader
from splatonym.core.wire.messages import Cancel, Failure, Progress, Request, Result, pack, read_message

SERVER = """
import os, sys, time
import numpy as np
from splatonym.core.errors import InvalidInput
from splatonym.core.wire.framing import Limits
from splatonym.server.service import Reply, Service, take_over_stdio

def echo(request, job):
    return Reply(request.params, request.arrays)

def patient(request, job):
    with job.stage("count"):
        for k in range(1000):
            time.sleep(0.01)
            job.progress(k / 1000, str(k))
    return Reply({"told": 1000})

def chatty(request, job):
    for k in range(20000):
        job.progress(k / 20000, "x" * 500)
    return Reply({"last": k}, {"big": np.zeros(request.params.get("size", 0), np.uint8)})

def deaf(request, job):
    while True:
        np.ones(1000).sum()

def noisy(request, job):
    print("to stdout from Python")
    os.system("echo to stdout from elsewhere")
    os.write(1, b"to the descriptor")
    assert sys.stdin.read() == "" and os.read(0, 10) == b""
    return Reply({"said": True})

def fail(request, job):
    kinds = {"own": InvalidInput("Wrong.", "Repair."), "bug": KeyError("gone"), "memory": MemoryError(),
             "torch": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."),
             "module": ModuleNotFoundError("No module named 'torch'", name="torch"), "long": InvalidInput("x" * 3_000_000)}
    raise kinds[request.params["how"]]

def odd(request, job):
    return Reply({"value": float("nan")} if request.params.get("nan") else {"value": object()})

def nothing(request, job):
    job.progress(float("nan"), "\\ud800")
    return Reply()

source, sink = take_over_stdio()
verbs = {f.__name__: f for f in (echo, patient, chatty, deaf, noisy, fail, odd, nothing)}
Service(verbs, source, sink, Limits(array=4 << 20)).run()
"""


class Server:
    """A server process with its bare pipes."""

    def __init__(self, folder):
        self.log = folder / "log.txt"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0
            )
        self.reader = FrameReader(self.process.stdout)
        self.log_start = 0

    def send(self, *messages):
        for message in messages:
            data = message if isinstance(message, bytes) else None
            self.process.stdin.write(data) if data is not None else pack(message).write_to(self.process.stdin)

    def answer(self):
        """The next message that is no progress."""
        while isinstance(message := read_message(self.reader), Progress):
            pass
        return message

    def log_text(self):
        return self.log.read_text()[self.log_start :]

    def ends(self, seconds=2.0):
        return self.process.wait(seconds)


def started(folder):
    server = Server(folder)
    server.send(Request(1, "nothing"))
    assert server.answer() == Result(1)
    yield server
    server.process.kill()
    server.process.wait()
    server.process.stdin.close()
    server.process.stdout.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One server for all tests that it survives."""
    yield from started(tmp_path_factory.mktemp("server"))


@pytest.fixture
def server(shared):
    shared.log_start = shared.log.stat().st_size
    yield shared
    shared.send(Request(1000, "nothing"))
    assert shared.answer() == Result(1000), "the test left an answer, or no server"


@pytest.fixture
def doomed(tmp_path):
    """A server of the test's own, which it may end."""
    yield from started(tmp_path)


def frame(header, payload=b"", version=FRAME_VERSION, magic=MAGIC, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return PRELUDE.pack(magic, version, len(text) if length is None else length, len(payload)) + text + payload


def request_frame(number, specs, payload=b""):
    header = {"type": "request", "id": number, "body": {"verb": "echo", "params": {}}, "arrays": specs}
    return frame(header, payload)


def test_requests_are_answered_in_order_with_their_arrays(server):
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros((0, 4), np.int32), "c": np.array(7, np.int64)}
    server.send(*(Request(k, "echo", {"k": k}, arrays) for k in range(2, 6)))
    for k in range(2, 6):
        result = server.answer()
        assert (result.id, result.data) == (k, {"k": k})
        for name, array in arrays.items():
            np.testing.assert_array_equal(result.arrays[name], array)
            assert result.arrays[name].dtype == array.dtype and result.arrays[name].shape == array.shape


def test_prints_never_damage_frames(server):
    server.send(Request(2, "noisy"))
    assert server.answer() == Result(2, {"said": True})
    text = server.log_text()
    assert "from Python" in text and "from elsewhere" in text and "to the descriptor" in text


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [("own", "invalid-input", "Wrong."), ("bug", "internal", "KeyError"), ("memory", "out-of-memory", "memory"),
     ("torch", "out-of-memory", "memory"), ("module", "not-available", "'torch'"), ("long", "invalid-input", "xxx")],
)  # fmt: skip
def test_what_a_verb_raises_becomes_a_failure(server, how, kind, words):
    server.send(Request(2, "fail", {"how": how}), Request(3, "nothing"))
    failed = server.answer()
    assert isinstance(failed, Failure) and (failed.id, failed.kind) == (2, kind)
    assert words in failed.message and (failed.hint or how == "long")
    assert server.answer() == Result(3)
    assert ("Traceback" in server.log_text()) == (how in ("bug", "memory", "torch", "module"))


@pytest.mark.parametrize("params", [{"nan": True}, {}])
def test_a_reply_that_cannot_travel_is_a_failure(server, params):
    server.send(Request(2, "odd", params))
    failed = server.answer()
    assert (failed.id, failed.kind) == (2, "bad-header")


def test_unknown_verbs_are_named(server):
    server.send(Request(2, "dance"))
    failed = server.answer()
    assert failed.kind == "not-available" and "dance" in failed.message and "echo" in failed.hint


def test_cancel_stops_the_running_request_at_once(server):
    server.send(Request(2, "patient"))
    while not isinstance(read_message(server.reader), Progress):
        pass
    start = time.monotonic()
    server.send(Cancel(2))
    failed = server.answer()
    assert (failed.id, failed.kind) == (2, "cancelled")
    assert time.monotonic() - start < 0.5
    server.send(Cancel(2), Cancel(77), Request(3, "nothing"))  # too late or for nobody: nothing happens
    assert server.answer() == Result(3)


def test_cancel_stops_a_waiting_request_at_once(server):
    server.send(Request(2, "patient"), Request(3, "echo"), Request(4, "echo"))
    server.send(Cancel(3))
    start = time.monotonic()
    failed = server.answer()
    assert (failed.id, failed.kind) == (3, "cancelled") and time.monotonic() - start < 0.5
    server.send(Cancel(2))
    assert server.answer().id == 2
    assert server.answer() == Result(4)


def test_progress_coalesces_and_a_slow_reader_blocks_nothing(server):
    """20,000 progress texts of 500 bytes would be 10 MB, the pipe holds 64 KB; nobody reads while the work runs."""
    server.send(Request(2, "chatty"), Request(3, "chatty", {"size": 3_000_000}), Request(4, "nothing"))
    time.sleep(1.0)
    seen = []
    while not isinstance(message := read_message(server.reader), Result) or message.id != 4:
        seen.append(message)
    progress = [m for m in seen if isinstance(m, Progress)]
    assert [m.id for m in seen if isinstance(m, Result)] == [2, 3]
    assert len(progress) < 300
    for number in (2, 3):
        fractions = [m.fraction for m in progress if m.id == number]
        assert fractions == sorted(fractions)
    places = {m.id: k for k, m in enumerate(seen) if isinstance(m, Result)}
    assert all(k < places[m.id] for k, m in enumerate(seen) if isinstance(m, Progress))


def spec(dtype="f4", shape=(2,), offset=0, name="depth"):
    return {"name": name, "dtype": dtype, "shape": list(shape), "offset": offset}


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (request_frame(9, [spec(shape=(2 << 20,))], bytes(8 << 20)), "array-too-large"),
        (request_frame(9, [spec(dtype="O")], bytes(16)), "unknown-dtype"),
        (request_frame(9, [spec(shape=(-2,))], bytes(8)), "bad-array"),
        (request_frame(9, [spec(offset=3)], bytes(11)), "bad-array"),
        (request_frame(9, [spec()], np.array([1, np.nan], "<f4").tobytes()), "not-finite"),
        (request_frame(9, [spec()], np.array([1, np.inf], "<f4").tobytes()), "not-finite"),
        (frame({"type": "request", "id": 9, "body": {}}), "bad-message"),
        (frame({"type": "result", "id": 9, "body": {"data": {}}}), "bad-message"),
        (frame({"type": "sing", "id": 9, "body": {}}), "bad-message"),
    ],
)  # fmt: skip
def test_a_bad_request_is_refused_and_the_server_lives(server, data, kind):
    threading.Thread(target=server.send, args=(data, Request(10, "nothing")), daemon=True).start()
    failed = server.answer()
    assert isinstance(failed, Failure) and (failed.id, failed.kind) == (9, kind)
    if kind == "not-finite":
        assert "'depth'" in failed.message and "[1]" in failed.message
    assert server.answer() == Result(10)


def test_a_number_in_use_is_refused(server):
    server.send(Request(2, "patient"), Request(2, "nothing"))
    failed = server.answer()
    assert (failed.id, failed.kind) == (2, "bad-message")
    server.send(Cancel(2))
    assert server.answer().kind == "cancelled"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (frame({}, magic=b"GET "), "wrong-magic"),
        (frame({}, version=77), "wrong-version"),
        (frame({}, length=(1 << 20) + 1), "header-too-large"),
        (frame(b"{not json"), "bad-header"),
        (frame({"type": "request"}), "bad-header"),
    ],
)
def test_a_broken_stream_ends_the_server_cleanly(doomed, data, kind):
    doomed.send(data)
    failed = doomed.answer()
    assert isinstance(failed, Failure) and (failed.id, failed.kind) == (0, kind)
    assert doomed.ends() == 2
    assert kind in doomed.log_text()
    assert read_message(doomed.reader) is None


@pytest.mark.parametrize("cut", [5, 30, -4])
def test_a_truncated_frame_ends_the_server_cleanly(doomed, cut):
    doomed.send(request_frame(9, [spec()], bytes(8))[:cut])
    doomed.process.stdin.close()
    failed = doomed.answer()
    assert (failed.id, failed.kind) == (0, "truncated-frame")
    assert doomed.ends() == 2


@pytest.mark.parametrize("verb", ["patient", "deaf", "nothing"])
def test_the_end_of_stdin_is_the_servers_end_at_once(doomed, verb):
    doomed.send(Request(2, verb))
    time.sleep(0.2)
    start = time.monotonic()
    doomed.process.stdin.close()
    assert doomed.ends() == 0
    assert time.monotonic() - start < 0.5


def test_a_server_whose_answers_nobody_reads_ends(doomed):
    doomed.process.stdout.close()
    doomed.send(Request(2, "nothing"))
    assert doomed.ends() == 0


def test_random_bytes_never_hang_or_crash_it(tmp_path):
    rng = np.random.default_rng(5)
    good = request_frame(3, [spec(shape=(2,))], bytes(8))
    for _ in range(3):
        server = Server(tmp_path)
        damaged = bytearray(good * 2)
        for place in rng.integers(0, len(damaged), 3):
            damaged[place] = rng.integers(0, 256)
        server.send(bytes(damaged))
        server.process.stdin.close()
        assert server.ends(10.0) in (0, 2)
        try:
            while read_message(server.reader) is not None:
                pass
        except errors.WireError:
            pytest.fail("the server's own frames must be whole")
        server.process.stdout.close()
