"""Candidates that wrap published libraries."""
