# SPDX-License-Identifier: GPL-3.0-or-later
"""A transport that knows no domain: messages with arrays between two processes, over a pair of pipes.

`framing` moves bytes, `messages` gives them five meanings, `client` runs the other process. What a message is about (cameras,
views, scenes) stands in `core/protocol.py`.
"""
