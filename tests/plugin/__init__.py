"""pip plugin mode: what is verified, what is refused, and what happens when something is broken."""
