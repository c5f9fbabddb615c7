"""What the user asks for, in words and in files, as typed values."""
