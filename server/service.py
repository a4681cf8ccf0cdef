# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests in, answers out: three threads around one verb table, which this file knows nothing about.

- The main thread works through the requests, one at a time, in order.
- A reader thread takes messages from the source. So a cancel is heard while work runs, and the end of the source (the client is
  gone, however it went) ends the process at once, in the middle of whatever it does: no orphan stays behind.
- A writer thread sends answers, so that work never waits for a slow reader. Of progress only the newest waits to be sent.

What a verb raises becomes a Failure and the service goes on. Where the stream itself breaks there is one Failure with id 0, a
line in the log, and the exit code EXIT_BROKEN.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NoReturn

from ..core.errors import Cancelled, NotAvailable, SplatonymError
from ..core.wire.errors import BadMessage, BrokenStream, OutOfMemory, ServerFailure, WireError
from ..core.wire.framing import Arrays, Frame, FrameReader, Limits, Sink, Source
from ..core.wire.messages import Cancel, Failure, Message, Progress, Request, Result, pack, read_message
from .job import Job

EXIT_BROKEN = 2
PROGRESS_INTERVAL = 0.02
"""Seconds between two progress messages: more often than any picture is drawn."""
MAX_WAITING = 64
"""Requests that may wait; each keeps its arrays in memory."""
_LONGEST_TEXT = 4000


@dataclass(frozen=True)
class Reply:
    """What a verb gives: JSON data and arrays."""

    data: Mapping[str, Any] = field(default_factory=dict)
    arrays: Arrays = field(default_factory=dict)


Verb = Callable[[Request, Job], Reply]


def log(text: str) -> None:
    """One line to stderr, unbuffered, from any thread."""
    os.write(2, f"{time.strftime('%H:%M:%S')} server {os.getpid()}: {text}\n".encode("utf-8", "backslashreplace"))


def take_over_stdio() -> tuple[BinaryIO, BinaryIO]:
    """Move stdin and stdout aside for frames, as unbuffered files; from then on fd 0 is empty and fd 1 is stderr.

    So nothing that prints or reads, be it Python or a C library, can damage a frame. (The branch for Windows has not been run.)
    """
    source = open(os.dup(0), "rb", buffering=0)  # noqa: SIM115, PTH123 - descriptors, open for the process's life
    sink = open(os.dup(1), "wb", buffering=0)  # noqa: SIM115, PTH123
    if sys.platform == "win32":
        import msvcrt

        for file in (source, sink):
            msvcrt.setmode(file.fileno(), os.O_BINARY)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return source, sink


class Outbox:
    """What waits to be written: all answers in order, and of each request's progress the newest, unless its answer is there."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._changed = threading.Condition()
        self._answers: deque[Frame] = deque()
        self._progress: dict[int, Progress] = {}
        self._idle = True

    def put_answer(self, number: int, frame: Frame) -> None:
        with self._changed:
            self._progress.pop(number, None)
            self._answers.append(frame)
            self._changed.notify_all()

    def put_progress(self, progress: Progress) -> None:
        with self._changed:
            self._progress[progress.id] = progress
            self._changed.notify_all()

    def write_forever(self) -> None:
        """The writer thread: returns (by OSError) only when nobody reads any more."""
        while True:
            with self._changed:
                self._idle = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._answers or self._progress)
                self._idle = False
                newest = None if self._answers else self._progress.pop(next(iter(self._progress)))
                frame = self._answers.popleft() if newest is None else pack(newest)
            frame.write_to(self._sink)
            del frame  # its arrays
            if newest is not None:
                with self._changed:
                    self._changed.wait_for(lambda: self._answers, PROGRESS_INTERVAL)

    def wait_empty(self, seconds: float) -> None:
        """Give the writer time to send what waits."""
        with self._changed:
            self._changed.wait_for(lambda: self._idle and not self._answers, seconds)


class Service:
    """Answers the requests of one source to one sink with the verbs of a table."""

    def __init__(self, verbs: Mapping[str, Verb], source: Source, sink: Sink, limits: Limits | None = None) -> None:
        self._verbs = verbs
        self._source = source
        self._limits = limits or Limits()
        self._outbox = Outbox(sink)
        self._changed = threading.Condition()
        self._waiting: deque[Request] = deque()
        self._jobs: dict[int, Job] = {}

    def run(self) -> NoReturn:
        """Serve until the source ends; the process ends with it."""
        for target in (self._listen, self._write):
            threading.Thread(target=target, name=target.__name__, daemon=True).start()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                request = self._waiting.popleft()
            self._outbox.put_answer(request.id, self._work(request, self._jobs[request.id]))
            with self._changed:
                del self._jobs[request.id]
            del request  # its arrays

    def _work(self, request: Request, job: Job) -> Frame:
        """Run one verb; its answer, or why there is none, as a frame."""
        try:
            job.check()
            if request.verb not in self._verbs:
                raise NotAvailable(f"The server has no verb '{request.verb[:80]}'.", f"It has {', '.join(self._verbs)}.")
            reply = self._verbs[request.verb](request, job)
            return pack(Result(request.id, reply.data, reply.arrays), self._limits)
        except SplatonymError as error:
            return failure(request.id, error)
        except ModuleNotFoundError as error:
            log(traceback.format_exc())
            return failure(request.id, missing_module(error))
        except Exception as error:  # noqa: BLE001 - a bug in a verb must not take the server with it; the log has all of it
            log(traceback.format_exc())
            if is_out_of_memory(error):
                return failure(
                    request.id,
                    OutOfMemory(f"'{request.verb}' ran out of memory.", "Use fewer or smaller views, or fewer Gaussians."),
                )
            text = f"'{request.verb}' failed in the server: {type(error).__name__}: {error}"
            return failure(request.id, ServerFailure("internal", text, "This is a bug; the server's log has the details."))

    def _write(self) -> None:
        try:
            self._outbox.write_forever()
        except OSError as error:
            self._end(0, f"nobody reads the answers any more ({error.strerror}); ending")
        finally:
            self._end(EXIT_BROKEN, f"the writer failed; ending\n{traceback.format_exc()}")

    def _listen(self) -> None:
        """The reader thread. Should it fail by a bug of ours, the process ends: a server that hears nothing must not stay."""
        try:
            self._take_messages()
        finally:
            self._end(EXIT_BROKEN, f"the reader failed; ending\n{traceback.format_exc()}")

    def _take_messages(self) -> NoReturn:
        reader = FrameReader(self._source, self._limits)
        while True:
            try:
                self._dispatch(read_message(reader))  # kept by nobody while the next one is awaited: arrays are large
            except BrokenStream as error:
                self._outbox.put_answer(0, failure(0, error))
                self._outbox.wait_empty(1.0)
                self._end(EXIT_BROKEN, f"{error.kind}: {error.sentence()} Ending.")
            except WireError as error:
                log(f"request {error.request_id} refused: {error.kind}: {error.sentence()}")
                self._outbox.put_answer(error.request_id, failure(error.request_id, error))
            except OSError as error:
                self._end(EXIT_BROKEN, f"the connection failed ({error.strerror}); ending")

    def _dispatch(self, message: Message | None) -> None:
        """Queue a request, cancel one, or end with the source."""
        match message:
            case None:
                self._end(0, "the client closed the connection; ending")
            case Request(id=number):
                job = Job(lambda stage, fraction, text: self._outbox.put_progress(_progress(number, stage, fraction, text)))
                with self._changed:
                    if number in self._jobs or len(self._waiting) >= MAX_WAITING:
                        reason = "its number is in use" if number in self._jobs else f"{MAX_WAITING} others wait already"
                        error = BadMessage(f"The request {number} was refused: {reason}.", "Wait for the others' answers.")
                        error.request_id = number
                        raise error
                    self._jobs[number] = job
                    self._waiting.append(message)
                    self._changed.notify()
            case Cancel(id=number):
                with self._changed:
                    waiting = next((request for request in self._waiting if request.id == number), None)
                    if waiting is not None:  # nobody has begun with it
                        self._waiting.remove(waiting)
                        del self._jobs[number]
                        self._outbox.put_answer(number, failure(number, Cancelled()))
                    elif number in self._jobs:
                        self._jobs[number].cancel()
            case Progress(id=number) | Result(id=number) | Failure(id=number):
                error = BadMessage(f"A client sent a {type(message).__name__}.", "Only requests and cancels go to the server.")
                error.request_id = number
                raise error

    def _end(self, code: int, reason: str) -> NoReturn:
        """End the process now, whatever the main thread does; nothing may keep an abandoned server alive."""
        log(reason)
        os._exit(code)


def failure(number: int, error: SplatonymError) -> Frame:
    """An error as the answer to a request."""
    return pack(Failure(number, error.kind, error.message[:_LONGEST_TEXT], error.hint[:_LONGEST_TEXT]))


def missing_module(error: ModuleNotFoundError) -> NotAvailable:
    """A package that the server's environment lacks, as a sentence."""
    return NotAvailable(
        f"The server's Python has no '{error.name}'.", f"Install it for {sys.executable}, or choose a Python that has it."
    )


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, on the processor or a GPU; torch says so by a name or, on the processor, only by a text."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )


def _progress(number: int, stage: str, fraction: float, text: str) -> Progress:
    known = fraction if fraction == fraction else 0.0  # NaN, from a division by nothing
    return Progress(number, stage[:_LONGEST_TEXT], float(known), text[:_LONGEST_TEXT])
