"""Commands that only answer questions and change nothing: ``explain`` and ``verify``."""
