# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar in German and Japanese, in a Blender that has languages; skipped with a reason where there is none."""

import pytest


def test_the_sidebar_speaks_german_and_japanese(window, tmp_path):
    said = window("languages.py", size="900x2200")
    if "LANGUAGES none" in said:
        pytest.skip("this Blender has no languages (Debian's are in /usr/share/locale, which the tool leaves out)")
    assert "LANGUAGES done" in said
    assert all((tmp_path / f"{name}.png").stat().st_size > 10_000 for name in ("de", "ja", "light"))
