# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes rendered rooms with depth, instances, classes and poses, to train and to judge predictors with; see README.md."""
