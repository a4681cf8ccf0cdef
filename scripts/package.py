# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the extension's zip: pure Python, no wheels.

    python3 scripts/package.py [-o dist]

The files are the ones git tracks, less those that `paths_exclude_pattern` of blender_manifest.toml names; entries are sorted and carry one fixed
date, so that the same tree gives the same zip. Validate with `blender --command extension validate dist/splatonym-VERSION.zip`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def tracked_files() -> list[str]:
    """Paths that git tracks or would track, relative to the root; in a tree without git, all that is there."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        names = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        names = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*")]
    return sorted(name for name in names if name and (ROOT / name).is_file())


def excluded(name: str, patterns: list[str]) -> bool:
    """gitignore's rules as far as the manifest uses them: a leading / anchors, a trailing / means a folder, * stays in a name."""
    for pattern in patterns:
        body = re.escape(pattern.strip("/")).replace(r"\*", "[^/]*")
        start = "^" if pattern.startswith("/") else "(^|/)"
        end = "/" if pattern.endswith("/") else "(/|$)"
        if re.search(start + body + end, name):
            return True
    return False


def build(folder: Path) -> Path:
    """Write the zip into a folder and return its path."""
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))
    names = [name for name in tracked_files() if not excluded(name, manifest["build"]["paths_exclude_pattern"])]
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{manifest['id']}-{manifest['version']}.zip"
    beside = target.with_suffix(".zip.part")
    with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in names:
            entry = zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, (ROOT / name).read_bytes())
    beside.replace(target)
    return target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "dist", help="folder for the zip")
    target = build(parser.parse_args().out)
    with zipfile.ZipFile(target) as archive:
        print(f"{target}: {len(archive.namelist())} files, {target.stat().st_size / 1024:.0f} KB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
