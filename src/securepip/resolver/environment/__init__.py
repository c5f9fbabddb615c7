"""The environment that is installed into: what it says of itself, and what it holds already."""
