# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured of a prediction: kept with its result in the .blend, shown as short lines, written as Markdown or JSON.

The server says what it did (server/pipeline.py: parts, devices, counts, seconds); Blender adds what it rendered, and how long that took.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Mapping
from typing import Any, TypeVar

import bpy

from .build import find_collection
from .jobs import Step
from .translations import ours as _
from .translations import stage_name

REPORT = "splatonym_report"
"""The custom property of a result's collection that holds its report, as JSON."""

Report = Mapping[str, Any]
T = TypeVar("T")


def timed(work: Generator[Step, None, T], seconds: dict[str, float]) -> Generator[Step, None, T]:
    """The same steps; how long each of their stages took is added to `seconds`."""
    stage, since = "", time.perf_counter()

    def passed() -> None:
        nonlocal since
        now = time.perf_counter()
        if stage:
            seconds[stage] = seconds.get(stage, 0.0) + now - since
        since = now

    try:
        while True:
            step = next(work)
            passed()
            stage = step.stage
            yield step
    except StopIteration as end:
        passed()
        return end.value
    finally:
        work.close()


def whole(server: Report, *, seconds: Mapping[str, float], **rendered: Any) -> dict[str, Any]:
    """The server's report with Blender's part: `rendered` says of what and how the views were made, `seconds` how long its stages took."""
    return {**server, "blender": {"version": bpy.app.version_string, **rendered, "timings": dict(seconds)}}


def keep_report(scene: bpy.types.Scene, result_id: str, report: Report) -> None:
    """Put the report beside the result's names in the file."""
    collection = find_collection(scene, result_id)
    if collection is not None:
        collection[REPORT] = json.dumps(report, ensure_ascii=False)


def last_report(collection: bpy.types.Collection) -> dict[str, Any] | None:
    """What was measured when a result was predicted; None where nobody kept it, or somebody broke it."""
    try:
        found = json.loads(collection.get(REPORT, "null"))
    except (TypeError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def stages(report: Report) -> dict[str, float]:
    """Seconds of each stage, Blender's and the server's, in the order of the work."""
    blender = dict(report.get("blender", {}).get("timings", {}))
    before = {name: blender.pop(name) for name in ("Capture",) if name in blender}
    after = {name: blender[name] for name in ("Import",) if name in blender}
    return {**before, **report.get("timings", {}), **after}


def lines(report: Report) -> list[tuple[str, str]]:
    """What a person wants to know, as (what, how much)."""
    blender = report.get("blender", {})
    out = [(_("Views"), _views(report))]
    out.append((_("Gaussians"), _("{count} in {classes} classes").format(
        count=f"{report.get('gaussians', 0):,}", classes=len(report.get("counts", {})))))  # fmt: skip
    if stages(report):
        out.append((_("Time"), _("{seconds} s").format(seconds=f"{sum(stages(report).values()):.1f}")))
    out.append((_("Predictor"), str(report.get("predictor", "?"))))
    model = report.get("label_model")
    out.append((_("Labels"), str(report.get("label_source", "?")) + (f" ({model})" if model else "")))
    out.append((_("Rasterizer"), _listed(report.get("backend"), report.get("version"))))
    out.append((_("Device"), _listed(report.get("device"))))
    if report.get("peak_memory_mb"):
        out.append((_("Memory"), _("{size} MB").format(size=f"{report['peak_memory_mb']:,.0f}")))
    if blender.get("version"):
        out.append((_("Blender"), blender["version"]))
    return out


def warnings(report: Report) -> list[str]:
    """What was odd, in sentences."""
    return [str(note) for note in report.get("notes", ())]


def as_markdown(name: str, report: Report) -> str:
    """The report of a result as a page."""
    parts = [f"# {name}", _table((_("What"), _("Measured")), lines(report))]
    if warnings(report):
        parts += ["## " + _("Warnings"), "\n".join(f"- {note}" for note in warnings(report))]
    counts = sorted(report.get("counts", {}).items(), key=lambda item: -item[1])
    parts += ["## " + _("Classes"), _table((_("Class"), _("Gaussians")), [(cls, f"{count:,}") for cls, count in counts])]
    times = [(stage_name(stage), f"{seconds:.2f}") for stage, seconds in stages(report).items()]
    parts += ["## " + _("Time"), _table((_("Stage"), _("Seconds")), times)]
    names = report.get("blender", {}).get("views", ())
    if names:
        parts += ["## " + _("Views"), ", ".join(names)]
    return "\n\n".join(parts) + "\n"


def as_json(report: Report) -> str:
    """All that is known, for programs."""
    return json.dumps(report, indent=1, ensure_ascii=False) + "\n"


def _views(report: Report) -> str:
    blender, count = report.get("blender", {}), report.get("views", 0)
    size, samples = blender.get("resolution"), blender.get("samples")
    return f"{count}" + (_(", {size} px, {samples} samples").format(size=size, samples=samples) if size else "")


def _listed(*words: object) -> str:
    return ", ".join(str(word) for word in words if word) or "?"


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    cells = [head, ("---", "---:"), *((what.replace("|", "\\|"), how.replace("|", "\\|")) for what, how in rows)]
    return "\n".join(f"| {what} | {how} |" for what, how in cells)
