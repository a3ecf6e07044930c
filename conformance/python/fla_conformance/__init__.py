"""Candidates for the conformance suite, written in Python; `template` shows how."""

from .shim import Declined, op, serve

__all__ = ["Declined", "op", "serve"]
