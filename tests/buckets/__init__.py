"""Repositories in object stores."""
