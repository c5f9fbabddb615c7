"""The third stage: which other projects can the requirements lead to?"""
