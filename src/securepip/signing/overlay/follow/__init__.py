"""The third stage of an overlay: finds the projects that the requirements of others lead to."""
