"""Parsers and writers of what both sides read."""
