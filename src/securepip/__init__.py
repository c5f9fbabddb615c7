"""securepip: pip install, with every byte proved before pip sees it.

The rooms and the one way through them::

    cli → requirements → resolver → plan → fetch → hand-off to pip
                            ↑                ↑
                            └── verified index (pages, metadata, files)
                                             ↑
                                   updater (TUF) ← trust (who is trusted, for what)
"""

__version__ = "0.2.0.dev0"
