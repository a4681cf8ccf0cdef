# SPDX-License-Identifier: GPL-3.0-or-later
"""A process of its own that draws one Gaussian with gsplat, forward and backward; the first time gsplat compiles itself for that.

    python -I trial.py '{"path": [...], "device": "cuda"}'

The last line on stdout is JSON: {"works": bool, "missing": a module's name or "", "problem": text or ""}. stdin is a pipe that its
parent holds: when that ends, however it ended, this ends too, and the compilers with it. Nothing of Splatonym is imported here.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import threading
import traceback


def end_with_parent() -> None:
    """Wait for the end of stdin; then end this process's group. (ninja passes the signal on to its compilers.)"""
    while os.read(0, 1):
        pass
    if sys.platform != "win32":
        os.killpg(0, signal.SIGTERM)
    os._exit(1)


def draw(device: str) -> str:
    """What is wrong with a picture of one Gaussian, and with its gradient; "" if nothing."""
    gsplat = importlib.import_module("gsplat")
    import torch

    opacity = torch.tensor([0.9], device=device, requires_grad=True)
    picture, alpha, _ = gsplat.rasterization(
        means=torch.tensor([[0.0, 0.0, 2.0]], device=device),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]], device=device),
        scales=torch.full((1, 3), 0.1, device=device),
        opacities=opacity,
        colors=torch.tensor([[1.0, 0.0, 0.5]], device=device),
        viewmats=torch.eye(4, device=device)[None],
        Ks=torch.tensor([[[40.0, 0.0, 16.5], [0.0, 40.0, 16.5], [0.0, 0.0, 1.0]]], device=device),
        width=33,
        height=33,
        render_mode="RGB+ED",
    )
    picture[0, 16, 16, 0].backward()
    gradient = 0.0 if opacity.grad is None else opacity.grad.item()
    found = (*picture[0, 16, 16].tolist(), alpha[0, 0, 0, 0].item(), gradient)
    expected = (0.9, 0.0, 0.45, 2.0, 0.0, 1.0)
    right = all(abs(a - b) < 0.01 for a, b in zip(found, expected, strict=True))
    return "" if right else f"it drew a wrong picture: {[round(value, 3) for value in found]}, not {list(expected)}"


def main() -> None:
    asked = json.loads(sys.argv[1])
    sys.path[:] = asked["path"]
    threading.Thread(target=end_with_parent, daemon=True).start()
    missing = problem = ""
    with contextlib.redirect_stdout(sys.stderr):  # gsplat prints while it compiles
        try:
            problem = draw(asked["device"])
        except ModuleNotFoundError as error:
            missing = error.name or str(error)
        except BaseException as error:  # noqa: BLE001 - whatever a compiler's failure raises is the answer
            traceback.print_exc()
            problem = f"{type(error).__name__}: {error}"
    print("\n" + json.dumps({"works": not (missing or problem), "missing": missing, "problem": problem}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
