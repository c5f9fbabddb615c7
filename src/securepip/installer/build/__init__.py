"""From a source to a wheel: the project's backend, in an environment made for it."""
