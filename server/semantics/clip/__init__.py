# SPDX-License-Identifier: GPL-3.0-or-later
"""Vision-language models of open_clip: pictures, patches of pictures and texts in one space."""
