# SPDX-License-Identifier: GPL-3.0-or-later
"""The other end of the pipes: starts the server's process, sends it requests, and tells of each how it goes.

    client = Client("/path/to/python", log_path="server.log")
    call = client.submit("predict", params, arrays)     # at once; 100 MB leave on a thread of the client's
    while not call.done:                                # from a timer, say
        show(call.progress)
    data, arrays = call.result()                        # or the error, with its hint

Threads: a writer sends, so that nobody waits for a pipe; a reader takes the answers and notices at once when the server is
gone. All methods may be called from any thread. No server outlives its client: `close` ends it, the interpreter's exit calls
`close`, and where the client's process is killed the server sees its stdin end. After its server has ended a client is of no
more use: who needs another server makes another client.
"""

from __future__ import annotations

import atexit
import io
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import Cancelled, NotAvailable, SplatonymError
from .errors import NoAnswer, NoInterpreter, ServerDied, TruncatedFrame, WireError, error_of
from .framing import Arrays, Frame, FrameReader, Limits
from .messages import Cancel, Failure, Progress, Request, Result, pack, read_message

ROOT = Path(__file__).resolve().parent.parent.parent
"""The package's own folder: the server that belongs to this client."""
CANCEL_GRACE = 2.0
"""Seconds that a cancelled request has to answer before its server is killed."""
_CLOSE_GRACE = 1.0
_EXIT_INCOMPLETE = 3  # server/__main__.py: the interpreter lacks a package
_GREETING = re.compile(r"server \d+: Python \S+ at ")
"""What a server writes into its log when it starts: no news in an error."""
_PIPE_BYTES = 1 << 20
_LOG_BYTES = 4 << 20
"""A log longer than this is begun anew with the next server."""
_CHOOSE = "Choose another Python for the server in the preferences."


class Call:
    """One request on its way."""

    def __init__(self, client: Client, number: int, verb: str) -> None:
        self.id = number
        self.verb = verb
        self.progress: Progress | None = None
        """The newest that is known, or None before the server began."""
        self._client = client
        self._ended = threading.Event()
        self._cancelled = False
        self._outcome: tuple[dict[str, Any], Arrays] | SplatonymError = NoAnswer("")

    @property
    def done(self) -> bool:
        """Whether there is an answer, good or bad."""
        return self._ended.is_set()

    def poll(self) -> bool:
        """The same, as a question."""
        return self.done

    def result(self, timeout: float | None = None) -> tuple[dict[str, Any], Arrays]:
        """Wait for the answer: JSON data and arrays, or the error raised. Nothing within `timeout` s raises NoAnswer."""
        if not self._ended.wait(timeout):
            raise NoAnswer(
                f"The server has not answered '{self.verb}' within {timeout:g} s.", "Wait longer, or start it again."
            )
        if isinstance(self._outcome, SplatonymError):
            raise self._outcome
        return self._outcome

    def cancel(self) -> None:
        """Ask the server to stop this; it ends as Cancelled within CANCEL_GRACE, if need be with the server."""
        self._client._cancel(self)

    def _end(self, outcome: tuple[dict[str, Any], Arrays] | SplatonymError) -> None:
        """Set the outcome; whoever asked to cancel gets that, even if the answer was on its way."""
        if not self.done:
            self._outcome = Cancelled() if self._cancelled else outcome
            self._ended.set()


class Client:
    """One server process and the requests to it.

    interpreter: the Python that runs the server, a path or a program's name.
    root: the package's folder whose server is run; by default the client's own.
    arguments: for the server, e.g. ["--scenes", folder].
    argv: instead of root and arguments, everything that follows the interpreter (another program, ssh, a test).
    log_path: the file to which the server's stderr is appended.
    environment: variables for the server; by default this process's.
    """

    def __init__(
        self,
        interpreter: str | os.PathLike[str],
        root: str | os.PathLike[str] = ROOT,
        *,
        log_path: str | os.PathLike[str],
        arguments: Sequence[str] = (),
        argv: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        cancel_grace: float = CANCEL_GRACE,
        limits: Limits | None = None,
    ) -> None:
        self.log_path = Path(log_path)
        self._limits = limits or Limits()
        self._cancel_grace = cancel_grace
        self._lock = threading.Lock()
        self._calls: dict[int, Call] = {}
        self._last_id = 0
        self._ending: SplatonymError | None = None
        """Why there will be no more answers; set once."""
        self._expected_end: SplatonymError | None = None
        self._outgoing: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self._heard = False
        own = ["-I", str(Path(root) / "server" / "__main__.py"), *arguments]
        self._process = self._start([_program(interpreter), *(own if argv is None else argv)], environment)
        stdin, stdout = self._process.stdin, self._process.stdout
        assert isinstance(stdin, io.FileIO) and isinstance(stdout, io.FileIO)  # as bufsize=0 makes them
        self._stdin, self._stdout = stdin, stdout
        widen_pipe(stdin)
        widen_pipe(stdout)
        self._threads = [
            threading.Thread(target=target, name=f"splatonym {target.__name__}", daemon=True)
            for target in (self._send, self._receive)
        ]
        for thread in self._threads:
            thread.start()
        atexit.register(self.close)

    @property
    def alive(self) -> bool:
        """Whether requests can still be answered."""
        return self._ending is None

    @property
    def cancelling(self) -> bool:
        """Whether a cancelled request has not ended yet: a server that does not hear of it will be gone within the grace."""
        with self._lock:
            return any(call._cancelled for call in self._calls.values())

    @property
    def pid(self) -> int:
        return self._process.pid

    def submit(self, verb: str, params: Mapping[str, Any] | None = None, arrays: Arrays | None = None) -> Call:
        """Send a request without waiting; what cannot be sent is refused here.

        The arrays are sent from where they lie: leave them as they are until the answer comes.
        """
        with self._lock:
            self._last_id += 1
            call = Call(self, self._last_id, verb)
        frame = pack(Request(call.id, verb, params or {}, arrays or {}), self._limits)
        with self._lock:
            if self._ending is not None:
                call._end(self._ending)
                return call
            self._calls[call.id] = call
        self._outgoing.put(frame)
        return call

    def hello(self, protocol: int, timeout: float = 120.0) -> dict[str, Any]:
        """What the server is and can do; typed errors where it cannot start, lacks a package, or speaks another protocol."""
        data, _ = self.submit("hello", {"protocol": protocol}).result(timeout)
        return data

    def close(self) -> None:
        """End the server: it goes as soon as its stdin is closed, or is killed. Unanswered calls end as Cancelled."""
        atexit.unregister(self.close)
        self._expected_end = self._expected_end or Cancelled("The server was stopped.")
        self._outgoing.put(None)
        try:
            self._process.wait(_CLOSE_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_CLOSE_GRACE)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _start(self, command: list[str], environment: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
        try:
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
            mode = "ab" if self.log_path.exists() and self.log_path.stat().st_size < _LOG_BYTES else "wb"
            log = self.log_path.open(mode)
        except OSError as error:
            raise NotAvailable(
                f"The log '{self.log_path}' cannot be written: {error.strerror}.", "Check the folder."
            ) from error
        with log:
            self._log_start = log.seek(0, os.SEEK_END)
            try:
                return subprocess.Popen(  # noqa: S603 - the interpreter that the person chose, without a shell
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    bufsize=0,
                    env=None if environment is None else dict(environment),
                    start_new_session=True,  # Ctrl-C in Blender's terminal is Blender's; the server ends with its stdin
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
            except OSError as error:
                raise NoInterpreter(f"'{command[0]}' cannot be run: {error.strerror}.", _CHOOSE) from error

    def _cancel(self, call: Call) -> None:
        with self._lock:
            if call.done or call._cancelled:
                return
            call._cancelled = True
        self._outgoing.put(pack(Cancel(call.id)))
        timer = threading.Timer(self._cancel_grace, self._enforce_cancel, [call])
        timer.daemon = True
        timer.start()

    def _enforce_cancel(self, call: Call) -> None:
        """The server had its time to answer a cancel."""
        if not call.done:
            self._expected_end = ServerDied(f"The server was stopped, since it did not cancel '{call.verb}'.", "Try again.")
            self._process.kill()

    def _send(self) -> None:
        """The writer thread."""
        with self._stdin:
            while (frame := self._outgoing.get()) is not None:
                try:
                    frame.write_to(self._stdin)
                except OSError:  # the server is gone: the reader sees that too and says so
                    return
                del frame  # its arrays

    def _receive(self) -> None:
        """The reader thread: answers to calls, until the server is gone."""
        broken: SplatonymError | None = ServerDied("The connection to the server failed by a bug of ours.", self._hint())
        try:
            broken = self._take_messages()
        finally:
            self._finish(broken)

    def _take_messages(self) -> SplatonymError | None:
        """Give every message to its call; returns at the end of the stream: None, or what broke it."""
        reader = FrameReader(self._stdout, self._limits)
        broken: SplatonymError | None = None
        with self._stdout:
            while broken is None:
                try:
                    message = read_message(reader)
                    if message is None:
                        break
                    self._heard = True
                    broken = self._dispatch(message)
                    del message  # its arrays, which are the call's alone now
                except TruncatedFrame:
                    break
                except WireError as error:
                    call = self._calls.pop(error.request_id, None)
                    if call is None:
                        broken = error
                    else:
                        call._end(error)
                except OSError as error:
                    broken = ServerDied(f"The connection to the server failed: {error.strerror}.", self._hint())
        return broken

    def _dispatch(self, message: object) -> SplatonymError | None:
        """Give a message to its call; an error if it concerns the connection."""
        match message:
            case Progress(id=number):
                if (call := self._calls.get(number)) is not None:
                    call.progress = message
            case Result(id=number, data=data, arrays=arrays):
                if (call := self._calls.pop(number, None)) is not None:
                    call._end((dict(data), arrays))
            case Failure(id=number, kind=kind, message=text, hint=hint):
                error = error_of(kind, text, hint)
                if number == 0:
                    return error
                if (call := self._calls.pop(number, None)) is not None:
                    call._end(error)
        return None

    def _finish(self, broken: SplatonymError | None) -> None:
        """No more answers will come: see that the process is gone, and tell those who wait."""
        try:
            code = self._process.wait(_CLOSE_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        ending = self._expected_end or broken or self._died(code)
        with self._lock:
            self._ending = ending
            calls, self._calls = self._calls, {}
        for call in calls.values():
            call._end(ending)
        self._outgoing.put(None)

    def _died(self, code: int) -> SplatonymError:
        lines = self._log_lines()
        if code == _EXIT_INCOMPLETE:
            return NoInterpreter(lines[-1] if lines else "The server's Python lacks a package.", f"Install it there. {_CHOOSE}")
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        said = [line for line in lines if not _GREETING.search(line)]
        last = f" Its last words: {' | '.join(said)}" if said else ""
        return ServerDied(f"The server {how}.{last}", self._hint())

    def _hint(self) -> str:
        if not self._heard:
            return f"It needs Python 3.11 or newer with numpy and torch. {_CHOOSE} The log is '{self.log_path}'."
        return f"Try again; the log is '{self.log_path}'."

    def _log_lines(self, count: int = 3) -> list[str]:
        """The last lines that this server wrote."""
        try:
            with self.log_path.open("rb") as log:
                end = log.seek(0, os.SEEK_END)
                log.seek(max(self._log_start, end - 4096))
                text = log.read().decode("utf-8", "replace")
        except OSError:  # somebody took the log away; the exit code must do
            return []
        return [line.strip()[:300] for line in text.splitlines() if line.strip()][-count:]


def widen_pipe(pipe: io.FileIO) -> None:
    """Let a pipe hold 1 MiB in place of 64 KiB, where the system can: fewer turns between the two processes."""
    if sys.platform == "linux":
        import fcntl

        try:
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        except OSError:  # over what this user may have; it works as it is, only slower
            pass


def _program(interpreter: str | os.PathLike[str]) -> str:
    """The interpreter's path; one that is not there, or is no program, raises NoInterpreter."""
    found = shutil.which(os.fspath(interpreter))
    if found is None:
        there = Path(interpreter).exists()
        reason = "is not a program that can be run" if there else "does not exist"
        raise NoInterpreter(f"The server's Python '{os.fspath(interpreter)}' {reason}.", _CHOOSE)
    return found
