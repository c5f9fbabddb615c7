"""The commands under ``securepip sign``: what the maintainers of a project do."""
