"""The signing side: what makes, changes and serves a repository.

Rule: offline keys make the frame (root, targets, bins, claimed) once; everything that happens
daily needs the online key alone, and everything that is signed is first written under names that
no client reads yet, then made current by replacing ``timestamp.json``.
"""
