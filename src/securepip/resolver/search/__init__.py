"""The search for a solution with resolvelib, which is given what pip would give it."""
