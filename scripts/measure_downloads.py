# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what setting the server up downloads, for each system and build of torch, and writes addon/setup/sizes.json.

    python3 scripts/measure_downloads.py [--wheel torch-...+cpu-....whl] [--installed index=FOLDER]

uv resolves requirements/server.in under the pins of server.txt, and the package index says how large each wheel is. PyTorch's own index is asked
for nothing: for its build for the processor `--wheel` gives a file of it, of whatever version, and the sum is marked "about". `--installed` adds
what a finished environment of this machine takes on the disk.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from environments import ROOT, SetupError, find_uv

PLATFORMS = {
    "linux-x86_64": "x86_64-unknown-linux-gnu",
    "linux-arm64": "aarch64-unknown-linux-gnu",
    "windows-x86_64": "x86_64-pc-windows-msvc",
    "macos-arm64": "aarch64-apple-darwin",
}
REQUIREMENTS = ROOT / "requirements"
OWN = ("nvidia-", "cuda-", "triton", "torch")
"""What the build of the package index has for itself; see addon/setup/builds.py."""


def wheel_sizes(platform: str) -> dict[str, int]:
    """Bytes by package on a platform; where the index has several wheels that fit, the largest."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "pylock.toml"
        command = [*find_uv(), "pip", "compile", "--quiet", "--python-version", "3.11", "--python-platform", platform]
        command += ["--format", "pylock.toml", "-o", target]
        command += ["-c", REQUIREMENTS / "server.txt", REQUIREMENTS / "server.in"]
        subprocess.run([str(word) for word in command], check=True)
        packages = tomllib.loads(target.read_text(encoding="utf-8"))["packages"]
    files = {package["name"]: package.get("wheels") or [package["sdist"]] for package in packages}
    return {name: max(file["size"] for file in found) for name, found in files.items()}


def disk_bytes(folder: Path) -> int:
    """What a folder takes on the disk; a file with several names counts once."""
    found = {(stat.st_dev, stat.st_ino): stat.st_size for stat in (path.lstat() for path in folder.rglob("*"))}
    return sum(found.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="a wheel of torch's build for the processor, for Linux")
    parser.add_argument("--installed", default="", metavar="BUILD=FOLDER", help="an environment of this machine, linux-x86_64")
    args = parser.parse_args()
    target = ROOT / "addon" / "setup" / "sizes.json"
    before = json.loads(target.read_text(encoding="utf-8"))["platforms"] if target.exists() else {}
    found: dict[str, dict[str, dict[str, object]]] = {}
    try:
        for name, platform in PLATFORMS.items():
            sizes = wheel_sizes(platform)
            found[name] = {"index": {"download": sum(sizes.values())}}
            if name == "linux-x86_64" and args.wheel:
                shared = sum(size for package, size in sizes.items() if not package.startswith(OWN) or package == "torchvision")
                found[name]["cpu"] = {"download": shared + args.wheel.stat().st_size, "about": True}
    except (SetupError, subprocess.CalledProcessError) as error:
        print(f"measure_downloads.py: {error}", file=sys.stderr)
        return 1
    for build, about in before.get("linux-x86_64", {}).items():
        if "installed" in about:
            found["linux-x86_64"].setdefault(build, {})["installed"] = about["installed"]
    build, _, folder = args.installed.partition("=")
    if folder:
        found["linux-x86_64"].setdefault(build, {})["installed"] = disk_bytes(Path(folder))
    content = b"\0".join((REQUIREMENTS / file).read_bytes() for file in ("server.in", "server.txt"))
    words = {"requirements": hashlib.sha256(content).hexdigest()[:16], "platforms": found}
    target.write_text(json.dumps(words, indent=1) + "\n", encoding="utf-8")
    print(target.read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
