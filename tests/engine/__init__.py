"""Tests of repositories for many machines: database, queue, workers."""
