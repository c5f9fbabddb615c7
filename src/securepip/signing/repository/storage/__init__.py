"""Where a repository keeps what it serves: one interface, and the folder that it is by default."""
