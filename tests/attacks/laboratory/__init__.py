"""The laboratory: each attack, tried by each way in, with plain pip beside it."""
