# SPDX-License-Identifier: GPL-3.0-or-later
"""The client against real processes: answers, cancelling, every way a server can be missing or die, and no orphans."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from splatonym.core.errors import Cancelled, NotAvailable
from splatonym.core.wire import errors
from splatonym.core.wire.client import ROOT, Client

SERVER = """
import os, sys, time
import numpy as np
from splatonym.server.service import Reply, Service, take_over_stdio

def echo(request, job):
    return Reply(request.params, request.arrays)

def patient(request, job):
    while True:
        time.sleep(0.01)
        job.progress(0.5, "working")

def deaf(request, job):
    job.progress(0.1, "ears shut")
    time.sleep(60)

def die(request, job):
    print("these are my last words", flush=True)
    os.kill(os.getpid(), request.params["signal"]) if "signal" in request.params else os._exit(7)

def damage(request, job):
    sink.write(b"HTTP/1.1 200 OK and more of that sort")
    time.sleep(5)

def cut(request, job):
    sink.write(b"SPLN" + bytes([1]) + bytes(5))
    os._exit(9)

def nan(request, job):
    return Reply({}, {"depth": np.array([0, np.nan], np.float32)})

source, sink = take_over_stdio()
Service({f.__name__: f for f in (echo, patient, deaf, die, damage, cut, nan)}, source, sink).run()
"""
ARGV = ["-c", SERVER]


@pytest.fixture
def client(tmp_path):
    with Client(sys.executable, log_path=tmp_path / "log.txt", argv=ARGV, cancel_grace=0.3) as client:
        client.submit("echo").result(20)
        yield client


def gone(pid, seconds=3.0):
    """Whether a process ends in time. (One that nobody waits for stays as a zombie: that counts.)"""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_answers_find_their_calls(client):
    calls = [client.submit("echo", {"k": k}, {"a": np.full((k, 2), k, np.float32)}) for k in range(20)]
    for k, call in reversed(list(enumerate(calls))):
        data, arrays = call.result(5)
        assert data == {"k": k} and arrays["a"].shape == (k, 2)
        assert call.done and call.poll()


def test_any_thread_may_submit(client):
    got = []

    def work(number):
        for k in range(20):
            got.append(client.submit("echo", {"t": [number, k]}).result(10)[0] == {"t": [number, k]})

    threads = [threading.Thread(target=work, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [True] * 120


def test_submitting_never_waits_for_the_pipe(client):
    """The server is busy, its reader not: but even 60 MB that nobody takes must not hold up Blender."""
    big = np.ones(15_000_000, np.float32)
    os.kill(client.pid, signal.SIGSTOP)
    start = time.monotonic()
    call = client.submit("echo", {}, {"big": big})
    took = time.monotonic() - start
    os.kill(client.pid, signal.SIGCONT)
    assert took < 0.2
    assert call.result(10)[1]["big"].sum() == 15_000_000


def test_no_answer_in_time_is_an_error_of_its_own(client):
    call = client.submit("patient")
    with pytest.raises(errors.NoAnswer, match=r"patient.*0\.05 s"):
        call.result(0.05)
    call.cancel()


def test_progress_and_cancel(client):
    call = client.submit("patient")
    until(lambda: call.progress is not None)
    assert (call.progress.fraction, call.progress.text) == (0.5, "working")
    start = time.monotonic()
    call.cancel()
    call.cancel()
    with pytest.raises(Cancelled):
        call.result(5)
    assert time.monotonic() - start < 0.5
    assert client.alive and client.submit("echo", {"on": 1}).result(5)[0] == {"on": 1}


def test_a_server_that_does_not_hear_a_cancel_is_killed(client):
    call = client.submit("deaf")
    behind = client.submit("echo")
    until(lambda: call.progress is not None)
    call.cancel()
    with pytest.raises(Cancelled):
        call.result(3)
    with pytest.raises(errors.ServerDied, match="deaf"):
        behind.result(3)
    assert not client.alive and gone(client.pid)
    with pytest.raises(errors.ServerDied):
        client.submit("echo").result(3)


@pytest.mark.parametrize(("params", "words"), [({"signal": 9}, "signal 9"), ({"signal": 11}, "signal 11"), ({}, "exit code 7")])
def test_a_server_that_dies_is_noticed_at_once(client, params, words):
    call, behind = client.submit("die", params), client.submit("echo")
    for waiting in (call, behind):
        with pytest.raises(errors.ServerDied, match=rf"{words}.*last words") as caught:
            waiting.result(2)
        assert str(client.log_path) in caught.value.hint
    assert not client.alive


def test_a_server_killed_from_outside_is_noticed_at_once(client):
    call = client.submit("patient")
    until(lambda: call.progress is not None)
    start = time.monotonic()
    os.kill(client.pid, signal.SIGKILL)
    with pytest.raises(errors.ServerDied, match="signal 9"):
        call.result(2)
    assert time.monotonic() - start < 0.5


def test_a_server_that_dies_within_a_message_has_died(client):
    with pytest.raises(errors.ServerDied, match="exit code 9"):
        client.submit("cut").result(3)


def test_a_server_that_talks_nonsense_is_ended(client):
    with pytest.raises(errors.WrongMagic, match="HTTP"):
        client.submit("damage").result(3)
    assert not client.alive and gone(client.pid)


def test_a_bad_answer_is_an_error_of_its_call_alone(client):
    with pytest.raises(errors.NotFinite, match="depth"):
        client.submit("nan").result(3)
    assert client.submit("echo", {"on": 1}).result(5)[0] == {"on": 1}


def test_what_cannot_be_sent_is_refused_at_once(client):
    with pytest.raises(errors.UnknownDtype):
        client.submit("echo", {}, {"a": np.zeros(3, bool)})
    with pytest.raises(errors.BadHeader):
        client.submit("echo", {"a": object()})
    with pytest.raises(errors.NotFinite):
        client.submit("echo", {}, {"a": np.array([np.nan])}).result(5)
    assert client.submit("echo", {"on": 1}).result(5)[0] == {"on": 1}


def test_close_ends_the_server_and_the_calls(client):
    call = client.submit("patient")
    start = time.monotonic()
    client.close()
    client.close()
    assert time.monotonic() - start < 0.7
    assert gone(client.pid, 0.1)
    for waiting in (call, client.submit("echo")):
        with pytest.raises(Cancelled):
            waiting.result(1)


def test_close_ends_a_server_that_hangs(client):
    os.kill(client.pid, signal.SIGSTOP)
    client.submit("echo", {}, {"big": np.ones(5_000_000, np.float32)})
    client.close()
    assert gone(client.pid, 1.0)


PARENT = """
import sys, time
from splatonym.core.wire.client import ROOT, Client
client = Client(sys.executable, log_path=sys.argv[1], argv=["-c", sys.argv[2]])
call = client.submit(sys.argv[3])
while call.progress is None:
    time.sleep(0.01)
print(client.pid, flush=True)
if sys.argv[4] == "stay":
    time.sleep(60)
"""


@pytest.mark.parametrize("verb", ["patient", "deaf"])
@pytest.mark.parametrize("end", ["killed", "exits"])
def test_no_server_outlives_its_client(tmp_path, verb, end):
    words = [str(tmp_path / "log.txt"), SERVER, verb, "stay" if end == "killed" else "go"]
    with subprocess.Popen([sys.executable, "-c", PARENT, *words], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        if end == "killed":
            assert not gone(pid, 0.1)
            parent.send_signal(signal.SIGKILL)
        parent.wait(5)
        assert gone(pid, 1.0)


def script(tmp_path, text, mode=0o755):
    path = tmp_path / "python"
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("there", [False, True])
def test_a_missing_interpreter_is_said(tmp_path, there):
    path = script(tmp_path, "", 0o644) if there else tmp_path / "nowhere" / "python"
    with pytest.raises(errors.NoInterpreter, match="not a program" if there else "does not exist") as caught:
        Client(path, log_path=tmp_path / "log.txt")
    assert str(path) in caught.value.message and "Choose" in caught.value.hint


def test_a_program_that_cannot_be_run_is_said(tmp_path):
    path = script(tmp_path, "neither a script nor a binary")
    with pytest.raises(errors.NoInterpreter, match="cannot be run"):
        Client(path, log_path=tmp_path / "log.txt")


def test_a_folder_is_no_interpreter(tmp_path):
    with pytest.raises(errors.NoInterpreter, match="not a program"):
        Client(tmp_path, log_path=tmp_path / "log.txt")


def test_a_program_that_is_no_server_is_said(tmp_path):
    path = script(tmp_path, "#!/bin/sh\necho 'Python 2.7 here' >&2\nexit 1\n")
    with Client(path, log_path=tmp_path / "log.txt") as client:
        with pytest.raises(errors.ServerDied, match=r"exit code 1.*Python 2\.7") as caught:
            client.hello(1, 5)
        assert "Choose" in caught.value.hint


@pytest.mark.parametrize(("missing", "error"), [("numpy", errors.NoInterpreter), ("torch", NotAvailable)])
def test_an_interpreter_without_a_package_is_said(tmp_path, missing, error):
    """A Python in which one package cannot be imported, as in a fresh environment."""
    code = f"""
import runpy, sys
class No:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.split('.')[0] == {missing!r}:
            raise ModuleNotFoundError("No module named {missing}", name={missing!r})
sys.meta_path.insert(0, No)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    main = ROOT / "server" / "__main__.py"
    with Client(sys.executable, log_path=tmp_path / "log.txt", argv=["-c", code, str(main)]) as client:
        with pytest.raises(error, match=missing) as caught:
            client.hello(1, 20)
        assert "nstall" in caught.value.hint


def test_a_log_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotAvailable, match="log"):
        Client(sys.executable, log_path=tmp_path / "file" / "log.txt")


def test_a_long_log_is_begun_anew(tmp_path):
    log = tmp_path / "log.txt"
    log.write_bytes(b"x" * (5 << 20))
    code = "import sys; sys.exit('bye')"
    with Client(sys.executable, log_path=log, argv=["-c", code]) as client, pytest.raises(errors.ServerDied, match="bye"):
        client.submit("hello").result(5)
    assert log.stat().st_size < 1000
