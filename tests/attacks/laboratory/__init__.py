"""The laboratory tries each attack by each way in, and on plain pip."""
