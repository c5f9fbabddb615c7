"""The commands under ``securepip repo``: what the keeper of a repository does."""
