"""Reading what people have."""
