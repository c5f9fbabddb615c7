"""Uploads over HTTP: what twine, uv, flit and poetry send, checked and published.

An upload goes one way: ``server`` reads the request and who sent it, ``form`` writes the file to
this machine, ``accept`` compares it with what the form says, and a ``publisher`` publishes what
waits, in one publication: ``batches`` in this process.
"""
