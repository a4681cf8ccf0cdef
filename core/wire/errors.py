# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: N818 - the names say what happened; the bases say Error
"""What can go wrong between the two processes, each with its own kind.

Convention: a `BrokenStream` means that nothing after it can be read, or that nobody could be told whom it concerns; the
reader answers once (id 0) and ends. Every other WireError concerns one message, whose number is `request_id`; reading goes on
behind it.
"""

from __future__ import annotations

from ..errors import Cancelled, InvalidFile, InvalidInput, NotAvailable, SplatonymError


class WireError(SplatonymError):
    """A message that cannot be used."""

    kind = "wire"
    request_id = 0


class BadMessage(WireError):
    """A message whose fields are missing, of another type, or out of place."""

    kind = "bad-message"


class UnknownDtype(WireError):
    """An array of a type that does not travel."""

    kind = "unknown-dtype"


class BadArray(WireError):
    """An array whose name, shape or place in the payload is not as it must be."""

    kind = "bad-array"


class ArrayTooLarge(WireError):
    """An array, or all arrays of one message together, over the limit."""

    kind = "array-too-large"


class NotFinite(WireError):
    """An array with NaN or infinity in it."""

    kind = "not-finite"


class OutOfMemory(WireError):
    """There is no memory for the arrays, or for the work on them."""

    kind = "out-of-memory"


class BrokenStream(WireError):
    """Nothing can be read any more."""

    kind = "broken-stream"


class WrongMagic(BrokenStream):
    """The bytes are no frame."""

    kind = "wrong-magic"


class WrongVersion(BrokenStream):
    """The other side frames its messages in another way."""

    kind = "wrong-version"


class HeaderTooLarge(BrokenStream):
    """A header over the limit."""

    kind = "header-too-large"


class BadHeader(BrokenStream):
    """A header that is not JSON, or from which not even the message's number can be read."""

    kind = "bad-header"


class TruncatedFrame(BrokenStream):
    """The bytes end in the middle of a frame."""

    kind = "truncated-frame"


class NoInterpreter(SplatonymError):
    """The Python that should run the server is missing or cannot be run."""

    kind = "no-interpreter"


class ServerDied(SplatonymError):
    """The server's process ended before it answered."""

    kind = "server-died"


class NoAnswer(SplatonymError):
    """The server is there, but did not answer in time."""

    kind = "no-answer"


class ServerFailure(SplatonymError):
    """A failure that the server reported, of a kind that has no class of its own here."""

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.kind = kind


_KNOWN: dict[str, type[SplatonymError]] = {
    cls.kind: cls
    for cls in (
        Cancelled, InvalidFile, InvalidInput, NotAvailable,
        ArrayTooLarge, BadArray, BadHeader, BadMessage, HeaderTooLarge, NotFinite, OutOfMemory, TruncatedFrame, UnknownDtype,
        WrongMagic, WrongVersion,
    )
}  # fmt: skip


def error_of(kind: str, message: str, hint: str) -> SplatonymError:
    """The exception that a reported failure stands for, so that callers catch the same classes on both sides."""
    known = _KNOWN.get(kind)
    return known(message, hint) if known else ServerFailure(kind, message, hint)
