# SPDX-License-Identifier: GPL-3.0-or-later
"""The Blender command: `blender --command splatonym label | ask | setup | info | doctor`.

`scripts/label_scene.py` is the same `label` for a checkout that is not installed. Results go to stdout, progress and errors to stderr.
Exit codes are those of the server's own command line: 0 done, 1 failed (one sentence, and a hint on the next line), 2 wrong usage,
130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import bpy

from .. import __version__
from ..core.errors import Cancelled, InvalidInput, SplatonymError
from ..core.files import write_json
from ..core.labels import preset_names
from . import connection, headless, jobs, labelling, preferences, properties
from .asking import ask_result
from .build import Result, find_results

NAME = "splatonym"
INTERRUPTED = 130
CAMERAS = {"all": "ALL", "selected": "SELECTED", "animated": "ACTIVE_ANIMATED"}
EXAMPLES = """examples:
  blender --command splatonym label room.blend --out result
  blender --command splatonym label room.blend --out result --label-source text --labels 'chair,table,lamp' --query 'red chair'
  blender --command splatonym ask result/Splatonym.blend 'red chair' --json answer.json
  blender --command splatonym setup
  blender --command splatonym info
"""
# Run in the server's Python: its own command line, from the add-on's copy of the code.
_SERVER = """
import importlib.util, sys
root = sys.argv.pop(1)
spec = importlib.util.spec_from_file_location("splatonym", root + "/__init__.py", submodule_search_locations=[root])
sys.modules["splatonym"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from splatonym.server.cli import main
sys.exit(main())
"""

_registered: Any = None


def register() -> None:
    """Make the command known to Blender."""
    global _registered
    _registered = bpy.utils.register_cli_command(NAME, main)


def unregister() -> None:
    """Take it back."""
    global _registered
    if _registered is not None:
        bpy.utils.unregister_cli_command(_registered)
        _registered = None


def main(words: Sequence[str], program: str = f"blender --command {NAME}") -> int:
    """Run one command with its arguments; returns the exit code and raises nothing that a person may meet."""
    try:
        arguments = parser(program).parse_args(list(words))
    except SystemExit as end:  # help, or a usage that argparse has already explained
        return int(end.code or 0)
    try:
        return run(arguments)
    finally:
        connection.close()  # Blender is about to end, and does not take add-ons back first


def run(arguments: argparse.Namespace) -> int:
    """Run what was parsed: `arguments.run`, with errors told as sentences."""
    try:
        if getattr(arguments, "server_python", None):
            use_interpreter(arguments.server_python.absolute())
        code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except (KeyboardInterrupt, Cancelled):
        print("splatonym: interrupted; nothing was written.", file=sys.stderr)
        return INTERRUPTED
    except SplatonymError as error:
        print(f"splatonym: error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return 1


def use_interpreter(path: Path) -> None:
    """Let this interpreter run the server, for this run of Blender only: the preferences are not saved."""
    os.environ[preferences.INTERPRETER_VARIABLE] = str(path)
    stored = preferences.preferences()
    if stored is not None:
        stored.server_python = str(path)


def parser(program: str) -> argparse.ArgumentParser:
    """The arguments of all commands."""
    top = argparse.ArgumentParser(
        prog=program,
        description="Labelled Gaussians of a scene, without a window.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"Splatonym {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], does: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}.")
        made.set_defaults(run=run)
        return made

    add_label_arguments(command("label", label, "render a scene's cameras and write what Gaussians and names come of it"))
    _add_ask_arguments(command("ask", ask, "ask the result in a .blend for something"))
    _add_setup_arguments(command("setup", setup, "set up the server's Python with torch, or use one that is there"))
    info_parser = command("info", info, "say which parts are in use, and where files lie")
    info_parser.add_argument("--json", action="store_true", help="as JSON")
    doctor_parser = command(
        "doctor", doctor, "say what is installed on the server's side, what works, and how to repair the rest"
    )
    doctor_parser.add_argument("--json", action="store_true", help="as JSON")
    doctor_parser.add_argument("--again", action="store_true", help="try gsplat again, even if an outcome is remembered")
    _add_server_python(info_parser, doctor_parser)
    return top


def add_label_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `label`; the only place where they are."""
    usual = labelling.LabelOptions()
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE.blend", help="file to open (default: the one that is open)")
    parser.add_argument("--blend", type=Path, dest="file_option", help=argparse.SUPPRESS)  # as it was called at first
    parser.add_argument("--cameras", default="all", help="all, selected, animated, or names with commas between")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--name", default=usual.result_name, help="name of the result and its collection")
    parser.add_argument("--resolution", type=int, default=usual.resolution, help="longer side of each view in pixels")
    parser.add_argument("--samples", type=int, default=usual.samples, help="render samples per pixel")
    parser.add_argument("--engine", default="scene", choices=_values(properties.ENGINES), help="what renders the views")
    parser.add_argument("--predictor", default=usual.predictor, help="what turns views into Gaussians")
    parser.add_argument("--no-depth", action="store_true", help="let the network find depth in the pictures alone")
    parser.add_argument("--label-source", default=usual.label_source, help="where names come from: scene, network or text")
    parser.add_argument(
        "--label-set", default=usual.label_set, help=f"names that classes can have: {', '.join(preset_names())}"
    )
    parser.add_argument("--labels", default="", help="names for --label-source text: 'chair,sofa=couch|settee,lamp'")
    parser.add_argument("--model", default=usual.model, help="vision-language model for --label-source text")
    parser.add_argument("--regions", default=usual.regions, help="for --label-source text: auto, instances, sam or segments")
    parser.add_argument("--query", action="append", default=[], metavar="TEXT", help="ask the result; answers.json; repeatable")
    parser.add_argument("--strict", action="store_true", help="write the PLY without labels")
    _add_server_python(parser)


def label_options(arguments: argparse.Namespace) -> labelling.LabelOptions:
    """What `label` was asked for, as the main job takes it."""
    names = tuple(name for word in arguments.cameras.split(",") if (name := word.strip()))
    return labelling.LabelOptions(
        result_name=arguments.name,
        camera_source=CAMERAS.get(arguments.cameras, "ALL"),
        camera_names=() if arguments.cameras in CAMERAS else names,
        resolution=arguments.resolution,
        samples=arguments.samples,
        engine=arguments.engine.upper(),
        predictor=arguments.predictor,
        use_depth=not arguments.no_depth,
        label_source=arguments.label_source,
        label_set=arguments.label_set,
        names=arguments.labels,
        model=arguments.model,
        regions=arguments.regions,
    )


def label(arguments: argparse.Namespace) -> int:
    """Label a scene and write all files."""
    if arguments.resolution < 16 or arguments.samples < 1:
        raise InvalidInput("--resolution begins at 16 and --samples at 1.", "Choose larger numbers.")
    blend = arguments.file or arguments.file_option
    wanted = headless.HeadlessOptions(
        arguments.out.resolve(), label_options(arguments), blend, arguments.strict, tuple(arguments.query)
    )
    outcome = headless.label_file(wanted, tell)
    print(f"{len(outcome.scene.gaussians):,} Gaussians in {arguments.out}. {outcome.notes}".strip())
    for name, count in outcome.scene.counts().items():
        print(f"  {name:<16} {count:>9,}")
    return 0


def _add_ask_arguments(parser: argparse.ArgumentParser) -> None:
    levels = [identifier for identifier, *_ in properties.LEVELS]
    parser.add_argument(
        "file", type=Path, metavar="FILE.blend", help="file with a result that was described (labels from text)"
    )
    parser.add_argument("text", help="what is looked for: 'red chair', 'chair not armchair'")
    parser.add_argument("--result", default="", help="name of the result (default: the last one)")
    parser.add_argument("--not", default="", dest="unwanted", metavar="TEXT", help="what is not meant")
    parser.add_argument("--level", default="object", choices=levels, help="what is chosen")
    parser.add_argument("--threshold", type=float, help="least score (default: where the scores fall into two groups)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the answer here")
    parser.add_argument("--save", type=Path, metavar="FILE.blend", help="write the file with the answer on its points here")
    _add_server_python(parser)


def ask(arguments: argparse.Namespace) -> int:
    """Ask a result that is in a .blend."""
    headless.open_blend(arguments.file)
    result = find_result(bpy.context.scene, arguments.result)
    asked = (arguments.text, arguments.unwanted, arguments.level, arguments.threshold)
    found = jobs.run_to_end(ask_result(bpy.context, result, *asked, show=True), tell)
    if arguments.json:
        write_json(arguments.json, asdict(found))
    if arguments.save:
        headless.save_copy(arguments.save.resolve())
    print(f"'{found.text}': {found.count:,} points at {found.threshold:.2f} or more.")
    for thing in found.things:
        print(f"  {thing['name']:<24} {thing['score']:.2f}")
    return 0


def find_result(scene: bpy.types.Scene, name: str) -> Result:
    """The result of a name or id, or the last one."""
    results = find_results(scene)
    if not results:
        raise InvalidInput(f"There is no result in the scene '{scene.name}'.", "Predict first.")
    chosen = results[-1] if not name else next((r for r in results if name in (r.name, r.id)), None)
    if chosen is None:
        raise InvalidInput(f"There is no result '{name}'.", f"Results: {', '.join(r.name for r in results)}.")
    return chosen


def _add_setup_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--python", type=Path, metavar="PYTHON", help="use this Python that is there already; nothing is downloaded"
    )
    what.add_argument("--repair", action="store_true", help="check what is there, and install again what is missing or broken")
    what.add_argument("--remove", action="store_true", help="delete all that setting up has downloaded and made")
    parser.add_argument(
        "--build", default="auto", choices=["auto", "index", "cpu"], help="build of torch (default: by the driver)"
    )
    parser.add_argument("--again", action="store_true", help="install every package anew, also what seems to be there")


def setup(arguments: argparse.Namespace) -> int:
    """What the buttons of the panel "Server" do, to their end; the preferences are saved, since a window will want them, too."""
    if arguments.python:
        code = run_operator("use_existing_python", filepath=str(arguments.python.absolute()))
    elif arguments.repair:
        code = run_operator("repair_server")
    elif arguments.remove:
        code = run_operator("remove_server")
    else:
        code = run_operator("setup_server", build=arguments.build, again=arguments.again)
    if code == 0 and preferences.preferences() is not None:
        bpy.ops.wm.save_userpref()
    return code


def run_operator(name: str, **given: Any) -> int:
    """Run an operator of ours, telling its steps; what it reports as an error is told as one."""
    jobs.terminal = tell
    try:
        done = getattr(bpy.ops.splatonym, name)(**given)
    except RuntimeError as error:
        told = jobs.state.error
        raise told if told is not None else SplatonymError(str(error).removeprefix("Error: ").strip()) from error
    finally:
        jobs.terminal = None
    print(jobs.state.message)
    return 0 if "FINISHED" in done else 1


def info(arguments: argparse.Namespace) -> int:
    """Which parts are in use."""
    found = facts()
    if arguments.json:
        print(json.dumps(found, indent=1))
        return 0
    for name, value in found.items():
        print(f"  {name:<12} {value if value is not None else 'none'}")
    return 0


def facts() -> dict[str, str | None]:
    """Versions and places; nothing is started."""
    interpreter = preferences.find_interpreter()
    return {
        "splatonym": __version__,
        "blender": bpy.app.version_string,
        "package": preferences.PACKAGE,
        "files": str(preferences.ROOT),
        "server": str(interpreter) if interpreter else None,
        "user files": str(preferences.user_folder()),
        "log": str(preferences.log_path()),
        "online": "allowed" if bpy.app.online_access else "not allowed",
    }


def doctor(arguments: argparse.Namespace) -> int:
    """The server's own examination, in its own Python."""
    flags = [word for word, given in (("--json", arguments.json), ("--again", arguments.again)) if given]
    command = [str(preferences.server_interpreter()), "-I", "-c", _SERVER, str(preferences.ROOT), "doctor", *flags]
    try:
        return subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode  # noqa: S603 - the person's own interpreter
    except OSError as error:
        raise InvalidInput(
            f"'{command[0]}' cannot be run: {error.strerror}.", "Choose another Python for the server."
        ) from error


def tell(step: jobs.Step) -> None:
    """One line of progress."""
    print(f"[{step.stage.lower()}] {step.text}", file=sys.stderr, flush=True)


def _add_server_python(*parsers: argparse.ArgumentParser) -> None:
    for each in parsers:
        each.add_argument("--server-python", type=Path, metavar="PYTHON", help="interpreter of the environment with torch")


def _values(items: Sequence[tuple[str, str, str]]) -> list[str]:
    return [identifier.lower() for identifier, *_ in items]
