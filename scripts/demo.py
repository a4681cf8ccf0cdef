# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets everything up and runs the main job on the demo room.

    python3 scripts/demo.py [-o demo_out]

Needs Python 3.11 with pip, no Blender and no GPU. The first run installs two environments, `.venv-blender/` and `.venv-server/`; a second one
installs nothing. Writes into demo_out/: room.blend with the labelled groups, scene.ply (3DGS), labels.json, report.json, contact_sheet.png.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from environments import ROOT, SetupError, ensure, python_of


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "demo_out", help="folder for the results")
    out = parser.parse_args().out.resolve()
    try:
        ensure("server", "blender")
    except SetupError as error:
        print(f"[setup] {error}", file=sys.stderr)
        return 1
    job = [python_of("blender"), ROOT / "scripts" / "demo_job.py", "--server-python", python_of("server"), "--out", out]
    code = subprocess.run([str(word) for word in job], check=False).returncode
    if code:
        return code
    pictures = out / "pictures.npz"
    sheet = [python_of("server"), ROOT / "scripts" / "contact_sheet.py", pictures, out / "contact_sheet.png"]
    code = subprocess.run([str(word) for word in sheet], check=False).returncode
    if code == 0:
        pictures.unlink()
        print(f"[demo] everything is in {out}: start with contact_sheet.png")
    return code


if __name__ == "__main__":
    sys.exit(main())
