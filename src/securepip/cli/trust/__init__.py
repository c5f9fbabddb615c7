"""``securepip trust``: which repositories this machine trusts, and how."""
