# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person can do: every button of the panel, also from operator search and from scripts.

Operators gather their settings, call one plain function, and report. A property that is not given takes the panel's value.
(No postponed annotations here: Blender reads properties from the annotations' values.)
"""

from . import classes, live, names, output, plans, points, results, setup, transfers

CLASSES = (
    *setup.CLASSES,
    *live.CLASSES,
    *results.CLASSES,
    *classes.CLASSES,
    *points.CLASSES,
    *names.CLASSES,
    *plans.CLASSES,
    *transfers.CLASSES,
    *output.CLASSES,
)
