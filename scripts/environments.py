# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets up the project's environments with uv; run again, it installs nothing.

    python3 scripts/environments.py [server] [blender] [dataset] [blender-4.2] [blender-5.0] [blender-5.2]

`.venv-server/` holds torch, `.venv-train/` that and what training needs, `.venv-blender/` Blender as a Python module, `.venv-dataset/` that
and what rendering rooms needs; torch and Blender are apart because bpy pins numpy and torch does not belong in Blender's Python. uv itself
comes from the package index into `.tools/`. Standard library only: this runs first on a fresh machine.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = (ROOT / "requirements" / "uv.txt").read_text(encoding="utf-8").strip()
"""uv==VERSION, also what the add-on sets the server up with."""
BPY_LIBRARIES = "libx11-6 libxi6 libxxf86vm1 libxfixes3 libxrender1 libxkbcommon0 libsm6 libice6 libgl1 libegl1"

# name: (Python version, requirement files, packages beyond them, a module that must import)
ENVIRONMENTS = {
    "server": ("3.11", ["server.txt", "server-dev.txt"], [], "torch"),
    "train": ("3.11", ["train.txt"], [], "tensorboard"),
    "blender": ("3.11", ["blender.txt"], [], "bpy"),
    "dataset": ("3.11", ["dataset.txt"], [], "bpy"),
    "blender-4.2": ("3.11", [], ["bpy==4.2.23", "numpy==1.26.4", "pytest==9.2.0", "hypothesis==6.170.15"], "bpy"),
    "blender-5.0": ("3.11", [], ["bpy==5.0.1", "pytest==9.2.0", "hypothesis==6.170.15"], "bpy"),
    "blender-5.2": ("3.13", [], ["bpy==5.2.3", "pytest==9.2.0", "hypothesis==6.170.15"], "bpy"),
}


class SetupError(Exception):
    """Setting up did not work; the text says what and how to repair it."""


def python_of(name: str) -> Path:
    """The interpreter of an environment."""
    folder = ROOT / f".venv-{name}"
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


def ensure(*names: str) -> None:
    """Make the named environments, where they are not there yet and up to date."""
    for name in names:
        if name not in ENVIRONMENTS:
            raise SetupError(f"There is no environment '{name}'. Environments: {', '.join(ENVIRONMENTS)}.")
        stamp = ROOT / f".venv-{name}" / "splatonym.stamp"
        if stamp.exists() and stamp.read_text() == _fingerprint(name) and python_of(name).exists():
            continue
        print(f"[setup] environment .venv-{name} (the first time takes some minutes)", flush=True)
        _make(name)
        stamp.write_text(_fingerprint(name))


def _fingerprint(name: str) -> str:
    """Changes whenever what the environment should hold changes."""
    python, files, packages, _ = ENVIRONMENTS[name]
    content = [python, *packages, str(ROOT), (ROOT / "pyproject.toml").read_text()]
    content += [(ROOT / "requirements" / file).read_text() for file in files]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()


def _make(name: str) -> None:
    python, files, packages, module = ENVIRONMENTS[name]
    uv = find_uv()
    folder, interpreter = ROOT / f".venv-{name}", python_of(name)
    _run(
        [*uv, "venv", "--quiet", "--allow-existing", "--python", python, folder],
        f"No Python {python} could be had: install it, and put its folder on PATH.",
    )
    install = [*uv, "pip", "install", "--python", interpreter]
    wanted = [word for file in files for word in ("-r", ROOT / "requirements" / file)] + packages
    _run(
        [*install, *wanted],
        "Check the connection to the package index and the free disk space, then run this again: it resumes.",
    )
    _run([*install, "--quiet", "--no-deps", "--editable", ROOT], "The project itself could not be installed.")
    repair = f"On Debian: apt-get install {BPY_LIBRARIES}" if module == "bpy" else "Remove its folder and run this again."
    _run([interpreter, "-c", f"import {module}"], f"'{module}' is installed but does not start. {repair}")
    if name == "server":
        warm_up = [str(interpreter), str(ROOT / "scripts" / "warm_up.py")]
        if subprocess.run(warm_up, cwd=ROOT, check=False).returncode:  # a slower one will draw
            print("[setup] the fast rasterizer cannot be used here; 'splatonym doctor' says why", file=sys.stderr)


def find_uv() -> list[str | Path]:
    """The command of the project's own uv, installed on first use."""
    folder = ROOT / ".tools" / f"uv-{UV.partition('==')[2]}"
    binary = folder / "bin" / ("uv.exe" if os.name == "nt" else "uv")
    if not binary.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, UV]
        _run(pip, "pip could not install uv; on Debian: apt-get install python3-pip.")
    return [binary]


def _run(command: list[str | Path], repair: str) -> None:
    words = [str(word) for word in command]
    try:
        code = subprocess.run(words, cwd=ROOT, check=False).returncode
    except OSError as error:
        raise SetupError(f"'{words[0]}' cannot be run: {error.strerror}. {repair}") from error
    if code:
        raise SetupError(f"'{' '.join(words[:6])} ...' failed with exit code {code}. {repair}")


def main() -> int:
    try:
        ensure(*(sys.argv[1:] or ["server", "blender"]))
    except SetupError as error:
        print(f"[setup] {error}", file=sys.stderr)
        return 1
    print("[setup] ready")
    return 0


if __name__ == "__main__":
    sys.exit(main())
