"""Runs the calls that a sync waits for in threads, and for very many projects in processes too."""
