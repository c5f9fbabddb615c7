"""Questions that change nothing: why is a file believed, and is what is here what was signed."""
