"""``securepip trust``: whom this machine believes, and how."""
