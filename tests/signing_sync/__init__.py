"""Signing for an index that does not sign."""
