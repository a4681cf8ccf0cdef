# SPDX-License-Identifier: GPL-3.0-or-later
"""Helpers beside the tests are imported by their names."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
