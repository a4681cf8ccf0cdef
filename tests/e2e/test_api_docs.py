# SPDX-License-Identifier: GPL-3.0-or-later
"""The code on docs/API.md runs as it stands there, block after block, on a small scene with a real server."""

import re
from pathlib import Path

import bpy
import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "API.md"


def blocks():
    text = PAGE.read_text(encoding="utf-8")
    for found in re.finditer(r"^```python\n(.*?)^```$", text, flags=re.S | re.M):
        yield text[: found.start()].count("\n") + 1, found[1]


def test_every_block_runs(small_room, tmp_path, capsys):
    names = {"folder": tmp_path, "__name__": "example"}
    for line, code in blocks():
        # Blank lines first, so that an error names the page's own line.
        exec(compile("\n" * line + code, str(PAGE), "exec"), names)
    assert (tmp_path / "room.ply").stat().st_size > (tmp_path / "strict.ply").stat().st_size > 1000
    assert (tmp_path / "again.ply").exists()
    printed = capsys.readouterr().out
    assert "chair" in printed and "There is no result 'Nobody'" in printed
    assert names["done"].classes and names["found"].count > 0
    text, points = PAGE.read_text(encoding="utf-8"), names["api"].result().classes[0].objects[0].data
    told = re.search(r"points have the\nattributes (.*?), once", text)
    assert told and all(word in points.attributes for word in re.findall(r"`(\w+)`", told[1]))
    assert "Cube.047" not in bpy.data.objects, "the page's last words on names rename it"


def test_names_and_errors_of_the_api(small_room):
    from splatonym.addon import api

    with pytest.raises(api.SplatonymError, match="There is no result yet"):
        api.result()
    room = api.predict("Room", ["Camera 0", "Camera 2"], resolution=32, samples=1)
    assert api.measured()["blender"]["views"] == ["Camera 0", "Camera 2"] and api.result().id == room.id
    with pytest.raises(api.SplatonymError, match="Nobody"):
        api.predict("Room", ["Nobody"], resolution=32, samples=1)
    assert [each.name for each in api.results()] == ["Room"]
    api.remove("Room")
    assert not api.results()


def test_all_that_the_api_promises_is_there(addon):
    from splatonym.addon import api

    for name in api.__all__:
        assert getattr(api, name).__doc__, name
