# SPDX-License-Identifier: GPL-3.0-or-later
"""Other programs as steps: what they print goes into a log and to whoever reads it; steps that are closed early end the whole process tree."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..jobs import Step

_LOG_BYTES = 4 << 20
"""A log longer than this is begun anew."""
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)
_LINES = 200
"""So many last lines of a program are kept for its error."""
_FOREIGN = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX", "__PYVENV_LAUNCHER__")
"""Variables that would lead another Python to Blender's modules, or uv into another environment."""


class ProgramFailed(Exception):  # noqa: N818 - as core.errors names what happened
    """A program ended with an error; for the code that knows what that means."""

    def __init__(self, command: Sequence[str], code: int, lines: Sequence[str]) -> None:
        super().__init__(f"{command[0]} ended with exit code {code}")
        self.code = code
        self.lines = list(lines)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def write_log(log: Path, text: str) -> None:
    """Append a line to the log; a log that has grown too long begins anew."""
    grown = log.exists() and log.stat().st_size > _LOG_BYTES
    with log.open("w" if grown else "a", encoding="utf-8", errors="replace") as file:
        file.write(text.rstrip("\n") + "\n")


def run(
    command: Sequence[str | os.PathLike[str]],
    log: Path,
    step: Step,
    environment: Mapping[str, str] | None = None,
    read: Callable[[str, Step], Step] | None = None,
    look: Callable[[Step], Step] | None = None,
) -> Generator[Step, None, list[str]]:
    """Run a program to its end; its last lines are returned. A program that cannot be run, or fails, raises ProgramFailed.

    read: gives the step that follows a line. look: gives the step to show while nothing is printed. Both are called from the steps, and
    should be quick.
    """
    words = [os.fspath(word) for word in command]
    write_log(log, f"$ {' '.join(words)}")
    variables = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    try:
        process = subprocess.Popen(  # noqa: S603 - uv, pip and the Python that were chosen, without a shell
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env={**variables, **(environment or {})},
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # a process group of its own, so that all of it can be ended
            creationflags=_NO_WINDOW,
        )
    except OSError as error:
        raise ProgramFailed(words, 127, [f"'{words[0]}' cannot be run: {error.strerror}."]) from error
    lines: list[str] = []
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()
    thread = threading.Thread(target=_listen, args=(process, log, heard), name="splatonym set-up", daemon=True)
    thread.start()
    try:
        while thread.is_alive() or process.poll() is None or not heard.empty():
            while not heard.empty():
                line = heard.get()
                lines = [*lines[1 - _LINES :], line]
                step = read(line, step) if read else step
            step = look(step) if look else step
            yield replace(step, waiting=True)
    finally:
        end(process)
    if process.returncode:
        raise ProgramFailed(words, process.returncode, lines)
    return lines


def _listen(process: subprocess.Popen[str], log: Path, heard: queue.SimpleQueue[str]) -> None:
    """The reader's thread: every line into the log and on to the steps. A log that cannot be written is no reason to stop."""
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            try:
                write_log(log, line)
            except OSError:
                pass
            heard.put(line.rstrip())


def end(process: subprocess.Popen[str]) -> None:
    """End a program and all that it started, at once."""
    if process.poll() is not None:
        return
    if os.name == "nt":
        tree = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
        subprocess.run(tree, capture_output=True, check=False, creationflags=_NO_WINDOW)  # noqa: S603 - a fixed command
        process.kill()  # also where taskkill may not; else the wait below would be for its own end
    else:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()
