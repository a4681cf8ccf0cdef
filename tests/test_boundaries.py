# SPDX-License-Identifier: GPL-3.0-or-later
"""The layers hold: what may import what, seen in fresh interpreters and in the source."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN = {
    "core": {"bpy", "mathutils", "torch", "PIL", "gsplat", "open_clip", "numba", "addon", "server"},
    "addon": {"torch", "gsplat", "open_clip", "numba", "PIL", "server"},
    "server": {"bpy", "mathutils", "addon"},
}


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports, with the layer for relative imports that leave the file's own."""
    names: set[str] = set()
    depth = len(path.relative_to(ROOT).parts) - 1
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0:
                names.add((node.module or "").split(".")[0])
            elif node.level > depth:
                assert node.level == depth + 1, f"{path}: a relative import leaves the package"
                names |= {(node.module or alias.name).split(".")[0] for alias in node.names}
    return names


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_layer_imports_only_what_it_may(layer):
    files = list((ROOT / layer).rglob("*.py"))
    assert files
    for path in files:
        wrong = imported(path) & FORBIDDEN[layer]
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"
        assert "splatonym" not in imported(path), f"{path.relative_to(ROOT)} must import relatively"


def test_core_needs_only_the_standard_library_and_numpy():
    allowed = sys.stdlib_module_names | {"numpy", "core"}
    for path in (ROOT / "core").rglob("*.py"):
        depth = len(path.relative_to(ROOT).parts) - 1
        names = {n for n in imported(path) if not (ROOT / "core" / f"{n}.py").exists()}
        assert names <= allowed, f"{path.relative_to(ROOT)} (depth {depth}) imports {names - allowed}"


@pytest.mark.parametrize("module", ["splatonym", "splatonym.core.scene", "splatonym.core.wire", "splatonym.server.service"])
def test_importing_needs_neither_blender_nor_torch(module):
    code = f"import sys, {module}; print(sorted({{'bpy', 'torch'}} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_no_script_is_imported():
    scripts = {path.stem for path in (ROOT / "scripts").glob("*.py")}
    for layer in FORBIDDEN:
        for path in (ROOT / layer).rglob("*.py"):
            assert not imported(path) & scripts & {"demo", "package", "environments", "label_scene"}, path
