"""The storage of the files that a repository serves: its interface, and a folder by default."""
