"""Is what is installed what was signed?"""
