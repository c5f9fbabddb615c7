"""Moves a repository to another place: from a folder into a bucket, and back."""
