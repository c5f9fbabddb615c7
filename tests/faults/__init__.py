"""Faults: each call that touches state fails once, and what it leaves is looked at.

    python -m tests.faults [SCENE…] [--jobs N] [--only KIND]

A scene is a command on a machine or repository that is prepared once. A clean run counts the calls:
each write, rename, link, removal, flush, lock, look and read of a file, and each statement of a
database. Then the command runs again from the same beginning, once for each call and each error
that this call can end with, and once for each call that changes something, killed there. After
each: nothing invalid is current, nothing that was known is forgotten, what a person reads is no
traceback, and the next run comes to its end.
"""
