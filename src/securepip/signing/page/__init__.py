"""The page that tells people how a repository is doing."""
