"""Tests of the verified index, with real repositories over HTTP."""
