# SPDX-License-Identifier: GPL-3.0-or-later
"""The live view in a real window, held against rays through Blender's own views; skipped with a reason where there is no window."""


def test_the_splat_lies_on_its_meshes_in_every_kind_of_view(window):
    assert "LIVE done" in window("live_view.py", size="1100x700")
