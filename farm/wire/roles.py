"""Roles: what the holder of a key or of a certificate may ask of a server."""

from __future__ import annotations

ROLES = ("view", "submit", "work", "admin")
"""Every role, from the one that may do least.

``view`` looks at batches and nodes, ``submit`` also makes and controls batches, ``work`` is a
node's, and ``admin`` may do everything.
"""
