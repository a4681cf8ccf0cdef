# SPDX-License-Identifier: GPL-3.0-or-later
"""Predict is pressed in a real window, which stays free while the views are rendered; skipped with a reason where there is none."""

import shutil

from .conftest import ROOM


def test_the_window_stays_free_while_views_are_rendered(window, tmp_path):
    shutil.copy(ROOM, tmp_path / "room.blend")
    lines = window("capture_window.py").splitlines()
    told = [line.removeprefix("CAPTURE ") for line in lines if line.startswith("CAPTURE ")]
    assert "saved meanwhile: the job goes on" in told and told[-1] == "loaded meanwhile"
