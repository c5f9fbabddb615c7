"""What runs on the target's interpreter: pip, byte-compilation, and how they are started."""
