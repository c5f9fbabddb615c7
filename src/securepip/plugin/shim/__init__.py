"""The part of securepip that runs inside pip: it sends pip's requests to a gateway.

Rule: an environment gets these modules as one file (``plugin.joined``). It runs on Python 3.10 or
later and pip 23.0 or later, with the standard library alone. It decides nothing about trust: the
gateway answers each request with verified bytes or with a reason. What the shim does not understand
it refuses.

What it patches in pip (23.0 to 26.3), and why:

- ``PipSession.get_adapter``: every request goes through an adapter of pip's session. The URLs,
  messages and progress bars above it stay as they are.
- ``InstallRequirement``: it knows direct URLs, and the hashes that the user gave for them.
- ``VersionControl.obtain``: no signature covers what git and the like would fetch.
- ``WheelCache``: wheels that were built without verification must not be used again.
- ``get_file_content``: a requirements file at a URL may only name projects.
- ``Configuration``: the environment's own configuration file must not choose indexes.
- ``VenvBuildEnvironment``: a build environment has its own pip, which fetches build requirements.

Besides, an audit hook refuses every connection of pip other than that to the gateway, and every pip
of another interpreter that does not start the plugin. Nothing can remove the hook, and it does not
depend on pip's internals.
"""
