# SPDX-License-Identifier: GPL-3.0-or-later
"""How the server gets onto this machine: an environment of its own in the user's folder, made with consent, or a Python that is there.

`steps` does it, `builds` chooses torch's build, `environments` finds what was made, `state` is what panels may ask at any time.
"""

from .state import Status, base, is_ready, log_path, made, plan, refresh, status
from .steps import check, set_up

__all__ = ["Status", "base", "check", "is_ready", "log_path", "made", "plan", "refresh", "set_up", "status"]
