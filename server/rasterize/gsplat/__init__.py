# SPDX-License-Identifier: GPL-3.0-or-later
"""The rasterizer for NVIDIA GPUs: gsplat 1.5.3 (Ye et al. 2024, Apache 2.0) behind the contract, through its public functions alone.

Read in this order: `probe.py` (whether it works here; `trial.py` is what it runs), `backend.py` (the contract), `pairs.py` (what needs
the weights of single Gaussians). What differs from the other rasterizers is in docs/RASTERIZERS.md. Not yet run on a GPU.
"""
