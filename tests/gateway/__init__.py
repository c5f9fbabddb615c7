"""The gateway: what it serves, to whom, and what it refuses."""
