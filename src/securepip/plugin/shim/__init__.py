"""The part of securepip that runs inside pip: what pip fetches comes from a gateway of ours.

Rule: an environment gets these modules as one file (``plugin.joined``), which runs on whatever
Python and pip are there: Python 3.10 or later, pip 23.0 or later, the standard library alone. It
decides nothing about trust. It sends each request of pip's to a gateway, which answers with
verified bytes or with a reason, and what it does not understand it refuses.

Where it takes hold of pip, and why there (pip 23.0 to 26.3):

- ``PipSession.get_adapter``: all that pip fetches goes through its session, whose adapters do the
  sending. URLs, messages and progress bars above it stay as they are.
- ``InstallRequirement``: a direct URL, and the hashes that the user gave for it.
- ``VersionControl.obtain``: no signature covers what git and the like would fetch.
- ``WheelCache``: wheels that were built while nothing was verified must not come back.
- ``get_file_content``: a requirements file at an address is read; what it may say is limited.
- ``Configuration``: what the environment's own file says of indexes decides nothing.
- ``VenvBuildEnvironment``: a new environment whose own pip fetches what a build requires.

Below that an audit hook refuses pip any connection but that to the gateway, and any pip of another
interpreter that does not start the plugin. It cannot be taken away again, and it does not depend on
how pip is made inside.
"""
