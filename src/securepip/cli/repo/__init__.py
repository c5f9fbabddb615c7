"""The commands under ``securepip repo``: what the operator of a repository does."""
