# SPDX-License-Identifier: GPL-3.0-or-later
"""What both sides speak: cameras, views, Gaussians, labels, files and the wire. Standard library and numpy only."""
