"""What could be installed: signed files, the user's own, and what is installed already."""
