# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job on the demo room: seconds of each stage and peak memory of both processes, over some runs."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=3)


def run(args: argparse.Namespace) -> dict[str, object]:
    from environments import python_of

    reports, peaks = [], []
    for _ in range(args.runs):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, SCRIPTS / "demo_job.py", "--server-python", python_of("server"), "--out", folder]
            process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise SystemExit(f"the main job ended with exit code {process.returncode}")
            report = json.loads((Path(folder) / "report.json").read_text())
        reports.append(report)
        peaks.append({"blender_mb": usage.ru_maxrss / 1024, "server_mb": report["server"]["peak_memory_mb"]})
    stages = {name: statistics.median(r["seconds"][name] for r in reports) for name in reports[0]["seconds"]}
    inside = {
        name: statistics.median(r["server"]["timings"][name] for r in reports) for name in reports[0]["server"]["timings"]
    }
    total = statistics.median(r["seconds_total"] for r in reports)
    memory = {name: max(p[name] for p in peaks) for name in peaks[0]}
    for title, rows in (("stage, seconds", stages), ("of the server's prediction", inside), ("peak memory", memory)):
        print(title)
        for name, value in rows.items():
            print(f"  {name:<22}{value:9.2f}")
    print(f"whole main job: {total:.1f} s, median of {args.runs} runs, {reports[0]['gaussians']:,} Gaussians")
    return {"runs": args.runs, "seconds": stages, "server_seconds": inside, "total": total, "memory": memory}
