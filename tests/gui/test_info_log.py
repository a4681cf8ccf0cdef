# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of the Info log, copied from a real window, do the same when they are run again; skipped where there is no window."""

import shutil

from .conftest import HERE, ROOM


def test_the_info_log_replays(window, blender, tmp_path):
    shutil.copy(ROOM, tmp_path / "room.blend")
    assert "LOG written" in window("info_log.py")
    words = ["--factory-startup", "--python-exit-code", "9", "--python", HERE / "info_log.py", "--", tmp_path]
    assert "LOG same" in blender(*words)
