"""The TUF session."""
