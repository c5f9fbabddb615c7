"""pip plugin mode: ``pip install`` itself is verified, in an environment where that is enabled.

``shim`` is what runs inside pip, and ``serve`` the gateway that it asks; ``joined`` makes one file
of the shim, ``loader`` and ``start`` bring it there; ``environment`` puts all of it into an
environment, takes it out again, and tries it.
"""
