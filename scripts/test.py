# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs all tests: lint, types, core, server, add-on in Blender, end to end over a real server process.

    python3 scripts/test.py                                  everything, on Blender 4.5
    python3 scripts/test.py --blender all                    the add-on's tests on 4.2, 4.5, 5.0 and 5.2
    python3 scripts/test.py --blender 4.2 -- -k ply          ... on one of them
    python3 scripts/test.py --only lint types server -- -k ply

What follows `--` goes to pytest. The environments are set up first where they are missing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from environments import ROOT, SetupError, ensure, python_of

# step: (environment, command without the interpreter)
STEPS = {
    "lint": ("server", ["-m", "ruff", "check", "."]),
    "format": ("server", ["-m", "ruff", "format", "--check", "."]),
    "types": ("server", ["-m", "mypy", "-p", "splatonym.core", "-p", "splatonym.server"]),
    "server": ("server", ["-m", "pytest", "tests/core", "tests/server", "tests/scripts", "tests/test_boundaries.py"]),
    "addon": ("blender", ["-m", "pytest", "tests/core", "tests/addon"]),
    "e2e": ("blender", ["-m", "pytest", "tests/e2e"]),
    "gui": ("blender", ["-m", "pytest", "tests/gui"]),
}

# version of Blender: the environment that holds it
BLENDERS = {"4.2": "blender-4.2", "4.5": "blender", "5.0": "blender-5.0", "5.2": "blender-5.2"}


def run_step(name: str, environment: str, command: list[str], extra: list[str], link: str) -> bool:
    """Run one step and say how it went."""
    print(f"\n== {name} ({'Python' if environment == 'server' else environment})", flush=True)
    if "pytest" in command:
        command = [*command, "-q", *extra]
    # mypy finds the package through a link that bears its name, since the checkout may be called anything.
    variables = {**os.environ, "MYPYPATH": link, "PYTHONDONTWRITEBYTECODE": "1"}
    start = time.monotonic()
    code = subprocess.run([str(python_of(environment)), *command], cwd=ROOT, env=variables, check=False).returncode
    print(
        f"== {name}: {'passed' if code == 0 else f'FAILED (exit code {code})'} in {time.monotonic() - start:.0f} s", flush=True
    )
    return code == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=STEPS, help="run these steps only")
    parser.add_argument(
        "--blender",
        nargs="+",
        choices=["all", *BLENDERS],
        metavar="VERSION",
        help=f"the add-on's tests on: all, {', '.join(BLENDERS)}",
    )
    parser.add_argument("pytest", nargs=argparse.REMAINDER, help="after --: arguments for pytest")
    arguments = parser.parse_args()
    extra = [word for word in arguments.pytest if word != "--"]
    if arguments.blender:
        versions = BLENDERS if "all" in arguments.blender else dict.fromkeys(arguments.blender)
        steps = {f"addon on {version}": (BLENDERS[version], ["-m", "pytest", "tests/addon"]) for version in versions}
    else:
        steps = {name: step for name, step in STEPS.items() if not arguments.only or name in arguments.only}
    try:
        ensure(*dict.fromkeys(environment for environment, _ in steps.values()))
    except SetupError as error:
        print(f"[setup] {error}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as link:
        (Path(link) / "splatonym").symlink_to(ROOT, target_is_directory=True)
        failed = [name for name, step in steps.items() if not run_step(name, *step, extra, link)]
    print(f"\n{'All passed' if not failed else 'FAILED: ' + ', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
