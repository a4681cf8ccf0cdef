# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels a .blend without a window.

    blender --background ROOM.blend --python scripts/label_scene.py -- --cameras all --out OUT
    .venv-blender/bin/python scripts/label_scene.py --blend ROOM.blend --cameras View.000,View.001 --out OUT

Writes OUT/scene.ply, OUT/labels.json, OUT/report.json and OUT/NAME.blend, the file with the labelled groups; the .blend itself stays as it is.
With --label-source text --labels 'chair,table,lamp' also OUT/semantics.safetensors, and with --query 'red chair' OUT/answers.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def load_package() -> None:
    """Import this checkout as `splatonym`, whatever its folder is called and whatever else is installed."""
    spec = importlib.util.spec_from_file_location("splatonym", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec is not None and spec.loader is not None
    sys.modules["splatonym"] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="label_scene.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blend", type=Path, help="file to open (not needed after `blender FILE`)")
    parser.add_argument("--cameras", default="all", help="all, selected, animated, or names with commas between")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--name", default="Splatonym", help="name of the result and its collection")
    parser.add_argument("--resolution", type=int, default=256, help="longer side of each view in pixels")
    parser.add_argument("--samples", type=int, default=16, help="render samples per pixel")
    parser.add_argument("--engine", default="scene", choices=["scene", "cycles", "eevee", "workbench"])
    parser.add_argument("--predictor", default="depth-pass")
    parser.add_argument("--label-source", default="scene")
    parser.add_argument("--label-set", default="indoor", help="names that classes can have")
    parser.add_argument("--labels", default="", help="names for --label-source text: 'chair,sofa=couch|settee,lamp'")
    parser.add_argument("--model", default="auto", help="vision-language model for --label-source text")
    parser.add_argument("--regions", default="auto", help="auto, instances, sam or segments, for --label-source text")
    parser.add_argument("--query", action="append", default=[], metavar="TEXT", help="ask the result; answers.json; repeatable")
    parser.add_argument("--server-python", type=Path, help="interpreter of the environment with torch")
    parser.add_argument("--strict", action="store_true", help="write the PLY without labels")
    words = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    return parser.parse_args(words)


def main() -> int:
    args = arguments()
    load_package()
    import splatonym
    from splatonym.core.errors import SplatonymError

    splatonym.register()
    try:
        return label(args)
    except SplatonymError as error:
        print(f"label_scene.py: error: {error.message}\n  {error.hint}", file=sys.stderr)
        return 1
    finally:
        splatonym.unregister()  # a class or timer left registered makes Blender hang or crash at exit


def label(args: argparse.Namespace) -> int:
    from splatonym.addon.headless import HeadlessOptions, label_file
    from splatonym.addon.labelling import LabelOptions
    from splatonym.addon.preferences import INTERPRETER_VARIABLE

    if args.server_python:
        os.environ[INTERPRETER_VARIABLE] = str(args.server_python)
    sources = {"all": "ALL", "selected": "SELECTED", "animated": "ACTIVE_ANIMATED"}
    names = () if args.cameras in sources else tuple(name.strip() for name in args.cameras.split(","))
    options = LabelOptions(
        result_name=args.name,
        camera_source=sources.get(args.cameras, "ALL"),
        camera_names=names,
        resolution=args.resolution,
        samples=args.samples,
        engine=args.engine.upper(),
        predictor=args.predictor,
        label_source=args.label_source,
        label_set=args.label_set,
        names=args.labels,
        model=args.model,
        regions=args.regions,
    )
    headless = HeadlessOptions(args.out.resolve(), options, args.blend, args.strict, tuple(args.query))
    outcome = label_file(headless, tell=lambda step: print(f"[{step.stage.lower()}] {step.text}", flush=True))
    print(f"{len(outcome.scene.gaussians):,} Gaussians in {args.out}. {outcome.notes}".strip())
    for name, count in outcome.scene.counts().items():
        print(f"  {name:<16} {count:>9,}")
    return 0


if __name__ == "__main__":
    if code := main():
        sys.exit(code)
