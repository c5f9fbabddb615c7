"""The environments with a pip of their own, with and without the plugin."""

from tests.plugin.conftest import enabled_environment, pip_environment

__all__ = ["enabled_environment", "pip_environment"]
