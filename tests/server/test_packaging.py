# SPDX-License-Identifier: GPL-3.0-or-later
"""What is installed and what the extension's zip holds: every package, the networks, and nothing that only trains or tests."""

import importlib.util
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def zipped():
    """Paths in the extension's zip."""
    spec = importlib.util.spec_from_file_location("package_script", ROOT / "scripts/package.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    patterns = tomllib.loads((ROOT / "blender_manifest.toml").read_text())["build"]["paths_exclude_pattern"]
    return {name for name in script.tracked_files() if not script.excluded(name, patterns)}


def test_every_package_is_installed():
    found = {path.parent for layer in ("core", "addon", "server") for path in (ROOT / layer).rglob("__init__.py")}
    names = {"splatonym", *("splatonym." + ".".join(path.relative_to(ROOT).parts) for path in found)}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == names


def test_the_zip_holds_what_runs_and_nothing_else():
    names = zipped()
    assert {"blender_manifest.toml", "__init__.py", "server/__main__.py", "server/models/network.py"} <= names
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "server/models/configs").iterdir()} <= names
    weights = {path.relative_to(ROOT).as_posix() for path in (ROOT / "server/models/weights").glob("*") if path.is_file()}
    assert weights <= names
    unwanted = ("server/training/", "tests/", "scripts/", "docs/", ".")
    assert not [name for name in names if name.startswith(unwanted)]
    wanted = {f"requirements/{name}" for name in ("server.in", "server.txt", "uv.txt")}
    assert {name for name in names if name.startswith("requirements/")} == wanted


def test_requirements_name_no_registry_and_agree():
    pins = {}
    for path in (ROOT / "requirements").iterdir():
        text = path.read_text()
        assert "://" not in text and "--" not in text, path
        if path.suffix == ".txt" and path.stem in ("server", "server-dev", "train"):
            pins[path.stem] = set(text.split("\n"))
    assert pins["server"] <= pins["server-dev"] and pins["server"] <= pins["train"]
