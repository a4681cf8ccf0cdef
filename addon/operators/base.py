# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operators share."""

from typing import Any

import bpy

from ...core.errors import InvalidInput, SplatonymError
from .. import jobs, properties
from ..build import Result, find_results


def copied(name: str) -> Any:
    """The definition of a panel setting, to be an operator's property too."""
    return properties.SplatonymSettings.__annotations__[name]


class ResultOperator:
    """An operator on one result: the one named, else the last in the outliner."""

    place = "output"
    """The panel where errors are told; see jobs.ModalWork."""

    result: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Result", description="Name or id of the result; empty means the last one", options={"SKIP_SAVE"}
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not find_results(context.scene):
            cls.poll_message_set("There is no result yet; predict first")
            return False
        return not jobs.state.running

    def chosen(self, context: bpy.types.Context) -> Result:
        results = find_results(context.scene)
        if not results:
            raise InvalidInput("There is no result yet.", "Predict first.")
        if not self.result:
            return results[-1]
        for result in results:
            if self.result in (result.id, result.name):
                return result
        raise InvalidInput(f"There is no result '{self.result}'.", f"Results: {', '.join(r.name for r in results)}.")

    def failed(self, error: SplatonymError) -> set[str]:
        jobs.state.told(self.place, error=error)
        self.report({"ERROR"}, error.sentence())
        return {"CANCELLED"}
