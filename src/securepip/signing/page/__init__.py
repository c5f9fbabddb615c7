"""The status page of a repository, for people with a browser."""
