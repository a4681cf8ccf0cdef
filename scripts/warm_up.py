# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiles the CPU rasterizer's kernels, or finds them compiled, so that the first job need not.

    .venv-server/bin/python scripts/warm_up.py

`environments.py` runs it at the end of setting up. The kernels go into the user's cache folder; who skips this waits once, behind a
progress bar.
"""

from __future__ import annotations

import sys
import time

from splatonym.core.errors import SplatonymError
from splatonym.server.job import Job
from splatonym.server.rasterize import choice


def main() -> int:
    start = time.monotonic()
    job = Job(lambda stage, fraction, text: text and print(f"[setup] rasterizer: {text}", flush=True))
    try:
        choice.ready(job, "cpu")
    except SplatonymError as error:
        print(f"[setup] {error.sentence()}", file=sys.stderr)
        return 1
    print(f"[setup] rasterizer ready after {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
