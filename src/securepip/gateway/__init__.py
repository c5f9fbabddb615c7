"""Serves the verified index on loopback to other tools: uv, poetry, pdm, pipx, tox and pip."""
