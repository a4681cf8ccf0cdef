# SPDX-License-Identifier: GPL-3.0-or-later
"""What scripts/evaluate.py measures, a file for each command."""
