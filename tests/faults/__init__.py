"""Fault injection: each call that touches state fails once, and its effects are checked.

    python -m tests.faults [SCENE…] [--jobs N] [--only KIND]

A scene is a command on a machine or repository that is prepared once. A first run counts the calls:
each write, rename, link, removal, flush, lock, stat and read of a file, and each statement of a
database. Then the command runs again from the same state, once for each call and each error that
the call can raise, and is killed once at each call that changes something. After each run, nothing
invalid is current, nothing known is forgotten, no message is a traceback, and the next run
succeeds.
"""
