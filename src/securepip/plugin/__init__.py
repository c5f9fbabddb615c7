"""pip plugin mode: ``pip install`` itself is verified, in an environment where that is enabled.

``shim`` is what runs inside pip, and ``serve`` the gateway that it asks; ``loader`` and ``start``
bring the shim there; ``environment`` puts all of it into an environment, takes it out again, and
tries it.
"""
