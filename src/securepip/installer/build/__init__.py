"""Builds a wheel from a source, with the project's backend in an environment made for it."""
