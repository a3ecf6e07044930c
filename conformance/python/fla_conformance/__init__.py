"""Candidates for the conformance suite, written in Python; `template` shows how."""

from .shim import Declined, op, serve, versions

__all__ = ["Declined", "op", "serve", "versions"]
