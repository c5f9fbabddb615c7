"""The memory of a repository, which is never served: its interface, and SQLite files by default."""
