# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are there whole or not at all: write beside, then rename."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from .errors import InvalidFile

_OTHER_FOLDER = "Choose another folder."


class replacing:  # noqa: N801 - reads as a word: with replacing(path) as file
    """Write beside, then rename: `with replacing(path) as file` leaves either the whole new file or the old one.

    A folder that is missing or read-only, or a full disk, raises InvalidFile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> BinaryIO:
        try:
            handle, beside = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        except OSError as error:
            raise self._failure(error) from error
        self._beside = Path(beside)
        self._file: BinaryIO = os.fdopen(handle, "wb")
        return self._file

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self._file.close()
            if error is None:
                umask = os.umask(0)
                os.umask(umask)
                self._beside.chmod(0o666 & ~umask)  # mkstemp makes private files; this one is an ordinary result
                self._beside.replace(self.path)
        except OSError as late:
            error = late
        if error is not None:
            self._beside.unlink()
        if isinstance(error, OSError):
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> InvalidFile:
        reason = error.strerror or str(error)
        return InvalidFile(
            f"'{self.path}' cannot be written: {reason}.", "Choose another folder, or make room and check permissions."
        )


@contextmanager
def staged_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to write into; its files move into `folder` if all goes well, and vanish if not."""
    made: list[Path] = []
    try:
        if folder.exists() and not folder.is_dir():
            raise InvalidFile(f"'{folder}' is a file, not a folder.", _OTHER_FOLDER)
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(dir=folder, prefix=".splatonym-"))
    except OSError as error:
        _remove_empty(made)
        raise InvalidFile(f"The folder '{folder}' cannot be written: {error.strerror}.", _OTHER_FOLDER) from error
    try:
        yield stage
        written = sorted(stage.iterdir())
        for path in written:
            if (folder / path.name).is_dir():
                raise InvalidFile(f"'{folder / path.name}' is a folder and cannot be replaced by a file.", _OTHER_FOLDER)
        for path in written:
            path.replace(folder / path.name)
    except OSError as error:
        raise InvalidFile(f"The folder '{folder}' cannot be written: {error.strerror}.", _OTHER_FOLDER) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        _remove_empty(made)


def _remove_empty(folders: list[Path]) -> None:
    """Remove those of these folders, innermost first, that are there and empty."""
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def read_json(path: Path, limit: int = 256 << 20) -> dict[str, Any]:
    """A JSON object from a file of at most `limit` bytes; anything else raises InvalidFile."""
    try:
        if path.stat().st_size > limit:
            raise InvalidFile(f"'{path}' is larger than {limit >> 20} MB.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidFile(f"'{path}' cannot be read: {error.strerror}.", "Check the path.") from error
    except (ValueError, RecursionError) as error:
        raise InvalidFile(f"'{path}' is not valid JSON: {error}.") from error
    if not isinstance(content, dict):
        raise InvalidFile(f"'{path}' holds no JSON object.")
    return content


def write_json(path: Path, content: object) -> None:
    """Write JSON; the file appears only once it is whole."""
    with replacing(path) as file:
        file.write((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode("utf-8"))
