"""Repositories for many machines: database, queue, workers."""
