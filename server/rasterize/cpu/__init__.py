# SPDX-License-Identifier: GPL-3.0-or-later
"""The rasterizer for machines without a GPU, compiled by numba.

Kernels, in the order to read them: `compiling.py` (how they are compiled), `vectors.py` (lanes of float32 as a type), `projection.py`
(Gaussians to splats), `binning.py` (splats sorted by depth, in tiles), `tiles.py` (the walk over a tile that all the others share),
`blending.py`, `registration.py`, `gradients.py` (its uses), `shading.py` (colours, normals).
What calls them: `crew.py` (threads and memory), `splatting.py`, `frame.py`, `differentiable.py`, `backend.py`.
"""

from .backend import Cpu

__all__ = ["Cpu"]
