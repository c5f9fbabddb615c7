"""The verified index on loopback, for tools that are not ours: uv, poetry, pdm, pipx, tox, pip."""
