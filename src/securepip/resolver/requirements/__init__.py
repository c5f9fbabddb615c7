"""Parses what the user asks for, on the command line and in files, into typed values."""
