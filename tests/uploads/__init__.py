"""Uploads to a repository: what is taken, what is refused, and what the tools show of it."""
