"""Fetching bytes, bounded."""
