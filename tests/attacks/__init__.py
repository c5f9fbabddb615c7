"""Attacks by somebody between the repository and the user, shown to work on plain pip first."""
