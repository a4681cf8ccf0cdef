# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by a second Blender, or by a Python that has Blender as a module: renders the views of a copy of the file (served.py).

    blender --background --python child.py -- FOLDER

It lives no longer than the Blender that started it: when that one ends, however it ends, this one's standard input closes. The folder is
then removed here, since nobody else is left to do it. Everything of Splatonym is imported under a name of its own, whether or not the
extension is enabled here too.
"""

import importlib
import importlib.util
import os
import shutil
import sys
import threading
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAME = "splatonym_apart"


def end_with_parent(folder: Path) -> None:
    """Wait for the end of standard input, which nobody writes to."""
    while os.read(0, 1024):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def load_package() -> None:
    """Import this file's own Splatonym, whatever its folder is called."""
    spec = importlib.util.spec_from_file_location(NAME, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec is not None and spec.loader is not None
    sys.modules[NAME] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)


def main() -> int:
    folder = Path(sys.argv[sys.argv.index("--") + 1])
    threading.Thread(target=end_with_parent, args=(folder,), daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(2)  # the window's Blender goes first; on Windows the parent asks for it
    sys.dont_write_bytecode = True
    try:
        load_package()
        importlib.import_module(f"{NAME}.addon.capture.served").serve(folder)
    except BaseException:  # noqa: BLE001 - into the log; the status tells the parent
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # nothing here is worth a slow goodbye: the files are written
