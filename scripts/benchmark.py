# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures speed and memory; figures never live in timed tests.

    python3 scripts/benchmark.py wire        the pipe beside a bare pipe
    python3 scripts/benchmark.py importing   1,000,000 Gaussians into Blender, beside Blender's own PLY import
    python3 scripts/benchmark.py stages      the main job's stages on the demo room, seconds and peak memory
    python3 scripts/benchmark.py addon       how long each job holds Blender's main thread, tick by tick
    python3 scripts/benchmark.py raster      the rasterizer beside the torch reference; --prototype PATH beside another one
    python3 scripts/benchmark.py network     pictures to named Gaussians: stages and peak memory by size and number of views
    python3 scripts/benchmark.py semantics   open vocabulary: a view's features, registration, joining, renaming, questions, files
    python3 scripts/benchmark.py live        the live view: pictures a second, from the server and in a window
    python3 scripts/benchmark.py all --json figures.json

Each benchmark runs in the environment that it needs. Machines are noisy: quote medians and ratios from one run.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from environments import SetupError, ensure, python_of

# name: (environment, modules whose versions are stated)
BENCHMARKS = {
    "wire": ("server", ["numpy"]),
    "importing": ("blender", ["bpy", "numpy"]),
    "stages": ("blender", ["bpy", "numpy"]),
    "addon": ("blender", ["bpy", "numpy"]),
    "raster": ("server", ["numpy", "torch", "numba"]),
    "network": ("server", ["numpy", "torch", "numba"]),
    "semantics": ("server", ["numpy", "torch", "numba", "open_clip_torch"]),
    "live": ("server", ["numpy", "numba"]),
}


def machine(modules: list[str]) -> dict[str, object]:
    """What the figures were taken on."""
    from importlib.metadata import version

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        model = next((line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line), model)
    versions = {name: version(name) for name in modules}
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **versions,
    }


def run_here(name: str, words: list[str], out: Path) -> None:
    """In the right environment: run one benchmark and write its figures."""
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    module = importlib.import_module(f"benchmarks.{name}")
    parser = argparse.ArgumentParser(prog=f"benchmark.py {name}", description=module.__doc__)
    module.add_arguments(parser)
    figures = module.run(parser.parse_args(words))
    out.write_text(json.dumps({"machine": machine(BENCHMARKS[name][1]), "figures": figures}))


def main() -> int:
    if sys.argv[1:2] == ["--here"]:
        run_here(sys.argv[2], sys.argv[4:], Path(sys.argv[3]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", choices=[*BENCHMARKS, "all"])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    arguments, words = parser.parse_known_args()
    names = list(BENCHMARKS) if arguments.benchmark == "all" else [arguments.benchmark]
    try:
        ensure("server", "blender")
    except SetupError as error:
        print(f"[setup] {error}", file=sys.stderr)
        return 1
    results = {}
    for name in names:
        print(f"== {name}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "figures.json"
            command = [python_of(BENCHMARKS[name][0]), Path(__file__).resolve(), "--here", name, out, *words]
            if subprocess.run([str(word) for word in command], check=False).returncode:
                return 1
            results[name] = json.loads(out.read_text())
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
