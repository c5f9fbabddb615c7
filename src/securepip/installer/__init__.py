"""From verified files to an environment: the hand-off to pip, and builds of sdists."""
