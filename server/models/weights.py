# SPDX-License-Identifier: GPL-3.0-or-later
"""Trained weights: found by name and sha256, or read from a file that `scripts/train.py export` wrote.

Safetensors only: nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ...core import labels
from ...core.errors import InvalidFile, NotAvailable
from ...core.files import read_json
from ...core.labels import LabelMap
from . import create
from .config import NetworkConfig, parse
from .network import Network

FOLDER = Path(__file__).parent / "weights"
DEFAULT = "rooms"
MOST_BYTES = 200 << 20
_REPAIR = "Install Splatonym again, or choose another model."


@dataclass(frozen=True)
class Trained:
    """A network ready to predict. labels: what its classes are. sha256: of the file it came from."""

    name: str
    network: Network
    labels: LabelMap
    sha256: str


def names() -> list[str]:
    """The trained models that come with the project."""
    return sorted(_index())


def load(name: str) -> Trained:
    """A trained network by name, or by the path of a .safetensors file; kept until another is asked for."""
    if name.endswith(".safetensors"):
        path, expected = Path(name), None
        if not path.is_file():
            raise NotAvailable(f"There is no file '{name}'.", _choices())
    elif name in _index():
        path, expected = FOLDER / f"{name}.safetensors", _index()[name]
    else:
        raise NotAvailable(f"There is no model '{name}'.", _choices())
    if not path.is_file():
        raise InvalidFile(f"The weights of '{name}' are missing: {path}.", _REPAIR)
    status = path.stat()
    return _load(name, path, expected, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1)
def _load(name: str, path: Path, expected: str | None, changed: int, size: int) -> Trained:
    """`changed` and `size` are of the file, so that another file under the same name is read anew."""
    if size > MOST_BYTES:
        raise InvalidFile(f"{path} has {size >> 20} MB; weights have at most {MOST_BYTES >> 20}.", _REPAIR)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if expected is not None and found != expected:
        raise InvalidFile(f"{path} is not what was shipped: its sha256 is {found[:12]}…, not {expected[:12]}….", _REPAIR)
    config, state = read(path)
    known = _possible(config, path)
    with torch.device("meta"):  # takes no memory: the file's own tensors say how large the network may be
        wanted = {key: value.shape for key, value in Network(config).state_dict().items()}
    have = {key: value.shape for key, value in state.items() if value.is_floating_point()}
    if wanted != have or len(have) < len(state):
        odd = sorted(key for key in {*wanted, *state} if wanted.get(key) != have.get(key))
        raise InvalidFile(f"{path} does not fit its own architecture at {', '.join(odd[:3])}.", _REPAIR)
    network = create(config)
    network.load_state_dict({key: value.float() for key, value in state.items()})
    return Trained(name, network.eval().requires_grad_(False), known, found)


def read(path: Path) -> tuple[NetworkConfig, dict[str, Tensor]]:
    """Architecture and weights of a file; one that is damaged or of another kind raises InvalidFile."""
    try:
        from safetensors import SafetensorError, safe_open
    except ModuleNotFoundError:
        raise NotAvailable(
            "The package 'safetensors', which reads trained weights, is not installed.",
            "Install it with pip, or set up the server's environment again.",
        ) from None
    try:
        with safe_open(str(path), framework="pt") as file:
            text = (file.metadata() or {}).get("config", "")
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise InvalidFile(f"{path} cannot be read as weights: {error}.", _REPAIR) from error
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise InvalidFile(f"{path} does not say what network it is for.", "Use a file that scripts/train.py wrote.")
    if not all(bool(torch.isfinite(value).all()) for value in state.values()):
        raise InvalidFile(f"{path} holds numbers that are not finite.", _REPAIR)
    return parse(values, str(path)), state


def write(path: Path, config: NetworkConfig, state: dict[str, Tensor]) -> str:
    """Weights as fp16, with their architecture; returns the sha256."""
    from safetensors.torch import save_file

    beside = path.with_name(f".{path.name}.new")
    halves = {key: value.detach().to("cpu", torch.float16).contiguous() for key, value in state.items()}
    save_file(halves, str(beside), {"config": json.dumps(asdict(config))})
    beside.chmod(0o644)  # safetensors writes private files
    found = hashlib.sha256(beside.read_bytes()).hexdigest()
    beside.replace(path)
    return found


_LIMITS = {
    "class_count": (1, 254), "pixels": (32 * 32, 1 << 20), "planes": (2, 1024), "groups": (1, 64), "matching_channels": (1, 1024),
    "sources": (0, 16), "heads": (1, 64), "attention_blocks": (0, 64), "point_features": (1, 1024), "cell": (0.1, 100.0),
}  # fmt: skip


def _possible(config: NetworkConfig, path: Path) -> LabelMap:
    """The classes of an architecture; one that cannot be built, or that would take any amount of memory, raises InvalidFile."""
    wrong = [name for name, (low, high) in _LIMITS.items() if not _within(getattr(config, name), low, high)]
    wrong += [f.name for f in fields(config) if f.type == "bool" and not isinstance(getattr(config, f.name), bool)]
    if not isinstance(config.preset, str):
        wrong.append("preset")
    if (
        not isinstance(config.channels, tuple)
        or len(config.channels) != 3
        or not all(_within(c, 1, 4096) for c in config.channels)
    ):
        wrong.append("channels")
    if not wrong and config.channels[2] % config.heads:
        wrong.append("heads")
    if not wrong and config.matching_channels % config.groups:
        wrong.append("groups")
    known = labels.preset(config.preset) if not wrong else LabelMap(())
    if not wrong and config.class_count >= len(known):  # the last is "unlabelled"
        wrong.append("class_count")
    if wrong:
        values = ", ".join(f"{name} = {str(getattr(config, name))[:40]}" for name in wrong)
        raise InvalidFile(f"{path} is for a network that cannot be: {values}.", _REPAIR)
    return known


def _within(value: object, low: float, high: float) -> bool:
    """Whether a value is a number between two; a whole one where both are."""
    kind = int if isinstance(low, int) else (int, float)
    return isinstance(value, kind) and not isinstance(value, bool) and low <= value <= high


def _choices() -> str:
    """What can be asked for, as a sentence."""
    known = names()
    return (
        f"Models: {', '.join(known)}, or the path of a .safetensors file." if known else "Give the path of a .safetensors file."
    )


def _index() -> dict[str, str]:
    """Model name -> sha256 of its file."""
    path = FOLDER / "index.json"
    return {str(name): str(value) for name, value in read_json(path).items()} if path.is_file() else {}
