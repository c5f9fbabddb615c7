"""What could be installed: signed files, the user's own files, and installed distributions."""
