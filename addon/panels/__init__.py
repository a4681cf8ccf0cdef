# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar tab "Splatonym", in the order of the work. Panels draw only what is already known: they are drawn all the time."""

from . import ask, classes, histogram, live, menus, output, predict, setup, views

CLASSES = (
    *setup.CLASSES,
    *views.CLASSES,
    *predict.CLASSES,
    *classes.CLASSES,
    *ask.CLASSES,
    *output.CLASSES,
    *menus.CLASSES,
    *live.CLASSES,
    *setup.LAST,
)


def register() -> None:
    """What is not a class: entries in Blender's own menus, and pictures."""
    menus.register()
    histogram.register()


def unregister() -> None:
    histogram.unregister()
    menus.unregister()
