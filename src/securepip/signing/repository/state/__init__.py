"""What a repository remembers and serves to nobody: one interface, and the folder by default."""
