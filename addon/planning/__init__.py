# SPDX-License-Identifier: GPL-3.0-or-later
"""Places cameras where they see the scene, and shows what they cover before anything is rendered.

    plan = run_to_end(plan_cover(context, CoverOptions(most=16)))       # as much as 16 cameras can see, from two places each
    plan = run_to_end(plan_walk(context, WalkOptions(count=12)))        # through the rooms at eye height
    plan = run_to_end(plan_orbit(context, OrbitOptions(count=16)))      # around the selected objects
    plan = run_to_end(cover_with(context, shots, CoverOptions()))       # what cameras see that are there already
    clear_plan(scene)

Each is a generator of steps that changes nothing until it is done; then ordinary cameras stand in the collection
"Splatonym Cameras", selected, in place of those of the plan before.

What counts as covered: of all surfaces that can be seen from two places in free space (so not the insides of walls, or a
shelf's back), the share that cameras do see. core/coverage.py says what seeing is.
"""

from .cameras import COLLECTION, clear_plan, find_collection, find_coverage, planned_cameras
from .cover import CoverOptions, cover_with, plan_cover
from .plans import OrbitOptions, Plan, WalkOptions, plan_orbit, plan_walk
from .preview import shown_shares
from .space import WHERE

__all__ = [
    "COLLECTION",
    "WHERE",
    "CoverOptions",
    "OrbitOptions",
    "Plan",
    "WalkOptions",
    "clear_plan",
    "cover_with",
    "find_collection",
    "find_coverage",
    "plan_cover",
    "plan_orbit",
    "plan_walk",
    "planned_cameras",
    "shown_shares",
]
