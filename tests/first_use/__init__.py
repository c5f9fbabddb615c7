"""Tests of trust on first use."""
