# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's process: `python -m splatonym.server`, or this file by its path with any Python that has numpy and torch.

By path (the add-on does so, with `python -I`) nothing needs to be installed: the folder above this one becomes the package
`splatonym`, whatever it is called, and the import path stays as it is. Frames come on stdin and go to stdout; messages for
people go to stderr. The process ends when its stdin does.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - any Python may be chosen in the preferences
    sys.exit(f"Splatonym's server needs Python 3.11 or newer, not {sys.version.split()[0]} ({sys.executable}).")

import argparse
import faulthandler
import importlib.util
from pathlib import Path

EXIT_INCOMPLETE = 3
"""The Python that runs this lacks a package without which not even the start is possible."""


def package() -> str:
    """The name of the package `server`; made importable first where this file is run by its path."""
    if __package__:
        return __package__
    root = Path(__file__).resolve().parent.parent
    spec = importlib.util.spec_from_file_location("splatonym", root / "__init__.py", submodule_search_locations=[str(root)])
    assert spec is not None and spec.loader is not None
    sys.modules["splatonym"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return "splatonym.server"


def main() -> None:
    name = package()
    choice = importlib.import_module(".rasterize.choice", name)
    parser = argparse.ArgumentParser(prog="splatonym.server", description="Splatonym's server: frames on stdin and stdout.")
    parser.add_argument("--scenes", type=Path, metavar="DIR", help="keep scenes here, so that the next start knows them")
    parser.add_argument(
        "--max-array-mb", type=int, default=2048, metavar="MB", help="largest array accepted (default: %(default)s)"
    )
    parser.add_argument("--beside-blender", action="store_true", help="leave a core to Blender, which started this")
    choice.add_arguments(parser)
    arguments = parser.parse_args()
    if arguments.max_array_mb < 1:
        parser.error("--max-array-mb must be at least 1")
    if sys.stdin is None or sys.stdin.isatty():
        parser.error("a program speaks to the server through a pipe; for a terminal there is the command 'splatonym'")
    try:
        choice.configure(choice.from_arguments(arguments, beside_blender=arguments.beside_blender))
    except choice.InvalidInput as error:  # in the environment
        parser.error(error.sentence())
    faulthandler.enable()
    try:
        service = importlib.import_module(".service", name)
        framing = importlib.import_module("..core.wire.framing", name)
        scenes = importlib.import_module(".scenes", name)
        verbs = importlib.import_module(".verbs", name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("splatonym"):
            raise
        print(f"This Python has no '{error.name}': {sys.executable}", file=sys.stderr)
        sys.exit(EXIT_INCOMPLETE)
    source, sink = service.take_over_stdio()
    limits = framing.Limits(array=arguments.max_array_mb << 20)
    store = scenes.SceneStore(arguments.scenes.resolve() if arguments.scenes else None)
    service.log(f"Python {sys.version.split()[0]} at {sys.executable}")
    service.Service(verbs.verb_table(store, limits), source, sink, limits).run()


if __name__ == "__main__":
    main()
