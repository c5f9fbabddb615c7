"""The search for a solution: resolvelib's questions, answered as pip answers them."""
