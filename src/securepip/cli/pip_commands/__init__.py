"""The commands that are pip's: ``install``, ``download`` and ``lock``, with pip's options."""
