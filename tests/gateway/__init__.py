"""Tests of the gateway: its answers, its clients, and its refusals."""
