"""Takes uploads over HTTP from twine, uv, flit and poetry, checks them and publishes them.

``server`` reads the request and its token, ``form`` writes the file to this machine, ``accept``
compares it with the fields of the form, and a ``publisher`` publishes all waiting uploads together.
``batches`` is the publisher in this process.
"""
