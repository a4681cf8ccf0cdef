# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels a .blend without a window.

    blender --background ROOM.blend --python scripts/label_scene.py -- --cameras all --out OUT
    .venv-blender/bin/python scripts/label_scene.py ROOM.blend --cameras View.000,View.001 --out OUT

Writes OUT/scene.ply, OUT/labels.json, OUT/report.json and OUT/NAME.blend, the file with the labelled groups; the .blend itself stays as it is.
With --label-source text --labels 'chair,table,lamp' also OUT/semantics.safetensors, and with --query 'red chair' OUT/answers.json.
Where the extension is installed, `blender --command splatonym label` is the same.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def load_package() -> None:
    """Import this checkout as `splatonym`, whatever its folder is called and whatever else is installed."""
    spec = importlib.util.spec_from_file_location("splatonym", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec is not None and spec.loader is not None
    sys.modules["splatonym"] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)


def main() -> int:
    load_package()
    import splatonym

    splatonym.register()
    try:
        from splatonym.addon import command

        parser = argparse.ArgumentParser(
            prog="label_scene.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        command.add_label_arguments(parser)
        parser.set_defaults(run=command.label)
        words = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
        return command.run(parser.parse_args(words))
    finally:
        splatonym.unregister()  # a class or timer left registered makes Blender hang or crash at exit


if __name__ == "__main__":
    if code := main():
        sys.exit(code)
