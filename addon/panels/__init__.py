# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar tab "Splatonym", in the order of the work. Panels draw only what is already known: they are drawn all the time."""

from . import ask, predict, results, setup, views

CLASSES = (*setup.CLASSES, *views.CLASSES, *predict.CLASSES, *results.CLASSES, *ask.CLASSES, *setup.LAST)
