# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender for the tests: its own user folder, empty and thrown away, and a clean end.

A class, handler or timer that is still registered when Python ends makes Blender crash (4.2) or hang (4.5); so the last thing
here says who left one.
"""

import os
import tempfile

import pytest

_USER = tempfile.TemporaryDirectory(prefix="splatonym-blender-user-")
os.environ["BLENDER_USER_RESOURCES"] = _USER.name
os.environ["BLENDER_USER_EXTENSIONS"] = f"{_USER.name}/extensions"

import bpy  # noqa: E402 (the variables come first)


@pytest.fixture
def blank():
    """An empty file with factory settings; the value is the context."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return bpy.context


@pytest.fixture(scope="session", autouse=True)
def clean_end():
    yield
    handlers = [f for name in dir(bpy.app.handlers) if isinstance(f := getattr(bpy.app.handlers, name), list)]
    left = [f.__qualname__ for found in handlers for f in found if getattr(f, "__module__", "").startswith("splatonym")]
    left += [name for name in dir(bpy.types) if name.startswith("SPLATONYM_")]
    bpy.ops.wm.read_factory_settings(use_empty=True)
    _USER.cleanup()
    assert not left, f"still registered: {left}"
