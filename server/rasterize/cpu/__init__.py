# SPDX-License-Identifier: GPL-3.0-or-later
"""The rasterizer for machines without a GPU, compiled by numba.

Read in this order: `compiling.py` (how kernels are compiled), `vectors.py` (lanes of float32 as a type), `projection.py` (Gaussians to splats), `binning.py`
(splats sorted by depth, in tiles), `tiles.py` (the walk over a tile, which all that follows shares), `blending.py`, `registration.py`,
`gradients.py` (its uses), `shading.py` (colours, normals), `crew.py` (threads and memory), `splatting.py`, `frame.py`,
`differentiable.py` (what calls the kernels), `backend.py`.
"""

from .backend import Cpu

__all__ = ["Cpu"]
