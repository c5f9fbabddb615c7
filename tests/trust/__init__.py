"""Whom this machine believes."""
