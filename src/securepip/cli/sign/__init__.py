"""The commands under ``securepip sign``, for the maintainers of a project."""
