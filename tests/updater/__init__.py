"""Tests of the TUF session."""
