# SPDX-License-Identifier: GPL-3.0-or-later
"""The network: its parts, its architectures as JSON, its weights. `create` is the one factory."""

from __future__ import annotations

import torch

from .config import NetworkConfig, load
from .network import Network

__all__ = ["Network", "NetworkConfig", "create", "load"]


def create(config: NetworkConfig, seed: int = 0) -> Network:
    """An untrained network; the same seed gives the same numbers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
