"""The target environment: its interpreter, and what is installed in it."""
