# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors a person may meet, each with the sentence that repairs it.

Every error has a `kind`, a short stable word that travels over the wire and that panels and scripts may test, a
message that names the offending value, and a `hint` that says what to do.
"""

from __future__ import annotations


class SplatonymError(Exception):
    """An error for people: `str(error)` is the message, `error.hint` the repair.

    `repair` names the command that repairs it, if there is one: in Blender an operator ("splatonym.setup_server"), which the panel
    then offers as a button under the sentence.
    """

    kind = "error"

    def __init__(self, message: str, hint: str = "", *, repair: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.repair = repair

    def sentence(self) -> str:
        """Message and hint as one line, for a panel, a report or a terminal."""
        return f"{self.message} {self.hint}".strip()


class InvalidInput(SplatonymError):  # noqa: N818 - the names say what happened; the base says Error
    """A value, array or file that cannot be used as it is."""

    kind = "invalid-input"


class InvalidFile(InvalidInput):
    """A file that is missing, damaged or of another form than its name says."""

    kind = "invalid-file"


class NotAvailable(SplatonymError):  # noqa: N818
    """Something asked for by name that this build or machine does not have."""

    kind = "not-available"


class Cancelled(SplatonymError):  # noqa: N818
    """The person cancelled the job; nothing was changed."""

    kind = "cancelled"

    def __init__(self, message: str = "Cancelled.", hint: str = "") -> None:
        super().__init__(message, hint)
