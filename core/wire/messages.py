# SPDX-License-Identifier: GPL-3.0-or-later
"""The five messages, and how each becomes a frame and comes back.

    to the server     Request   do this; `id` is the client's number for it, from 1 on
                      Cancel    stop the request of that number
    from the server   Progress  how far it is; the newest replaces those before it
                      Result    the end of a request, or
                      Failure   the other end of a request; id 0 concerns the connection, which is then over

In a frame's header a message is {"type", "id", "body": {its other fields}}; arrays travel beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import BadHeader, BadMessage, OutOfMemory, WireError
from .framing import Array, Arrays, Frame, FrameReader, Limits, pack_frame


@dataclass(frozen=True)
class Request:
    """Do `verb` with these parameters and arrays."""

    id: int
    verb: str
    params: Mapping[str, Any] = field(default_factory=dict)
    arrays: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class Cancel:
    """Stop the request `id`, whether it runs or waits."""

    id: int


@dataclass(frozen=True)
class Progress:
    """The request `id` is in this stage, which is done by that fraction (0..1)."""

    id: int
    stage: str
    fraction: float
    text: str = ""


@dataclass(frozen=True)
class Result:
    """What the request `id` gave."""

    id: int
    data: Mapping[str, Any] = field(default_factory=dict)
    arrays: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """Why the request `id` gave nothing: a SplatonymError's kind, message and hint."""

    id: int
    kind: str
    message: str
    hint: str = ""


Message = Request | Cancel | Progress | Result | Failure

_TYPES: dict[str, tuple[type[Message], dict[str, type]]] = {
    "request": (Request, {"verb": str, "params": dict}),
    "cancel": (Cancel, {}),
    "progress": (Progress, {"stage": str, "fraction": float, "text": str}),
    "result": (Result, {"data": dict}),
    "failure": (Failure, {"kind": str, "message": str, "hint": str}),
}
"""A message's name in the header, its class, and the fields of its body."""
_NAMES = {cls: name for name, (cls, _) in _TYPES.items()}
_JSON_NAMES = {str: "a text", dict: "an object", float: "a number"}


def pack(message: Message, limits: Limits | None = None) -> Frame:
    """The message as a frame; what would not be accepted on the other side is refused here, by the same rules."""
    name = _NAMES[type(message)]
    body = {key: getattr(message, key) for key in _TYPES[name][1]}
    arrays: Arrays = getattr(message, "arrays", {})
    return pack_frame({"type": name, "id": message.id, "body": body}, arrays, limits or Limits())


def read_message(reader: FrameReader) -> Message | None:
    """The next message, or None at the end. A WireError knows whom it concerns (`request_id`), or it is a BrokenStream."""
    header = reader.read_header()
    if header is None:
        return None
    number = header.get("id")
    if type(number) is not int or not (number > 0 or header.get("type") == "failure") or number >= 1 << 53:
        raise BadHeader("A message has no valid number.", "Its header needs an id, a whole number from 1 on.")
    try:
        cls, body = _check_body(header)
        try:
            arrays: dict[str, Array] = reader.read_arrays()
        except MemoryError as error:
            raise OutOfMemory("There is not enough memory for a message's arrays.", "Use fewer or smaller views.") from error
        if cls is Request or cls is Result:
            return cls(id=number, arrays=arrays, **body)
        if arrays:
            raise BadMessage(f"A message of the type '{header['type']}' carries arrays.", "Only requests and results do.")
        return cls(id=number, **body)
    except WireError as error:
        error.request_id = number
        raise


def _check_body(header: Mapping[str, Any]) -> tuple[type[Message], dict[str, Any]]:
    """The message's class and fields, once they are of the types they should be."""
    kind, body = header.get("type"), header.get("body", {})
    if not isinstance(kind, str) or kind not in _TYPES:
        raise BadMessage("A message is of an unknown type.", f"These are known: {', '.join(_TYPES)}.")
    cls, fields = _TYPES[kind]
    if not isinstance(body, dict) or set(body) != set(fields):
        raise BadMessage(f"A message of the type '{kind}' has other fields than {', '.join(fields) or 'none'}.")
    for key, expected in fields.items():
        value = body[key]
        if expected is float and isinstance(value, int) and not isinstance(value, bool):
            continue
        if not isinstance(value, expected):
            raise BadMessage(f"The field '{key}' of a message of the type '{kind}' is not {_JSON_NAMES[expected]}.")
    return cls, body
