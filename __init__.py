# SPDX-License-Identifier: GPL-3.0-or-later
"""Splatonym: semantic Gaussian splatting for Blender.

Importing this package needs neither bpy nor torch. Blender calls `register` and `unregister`; the
add-on is imported only inside them, so that the server and the tests can share `core`.
"""

__version__ = "0.1.0"


def register() -> None:
    """Register the add-on with Blender (called when the extension is enabled)."""
    from . import addon

    addon.register()


def unregister() -> None:
    """Unregister the add-on (called when the extension is disabled)."""
    from . import addon

    addon.unregister()
