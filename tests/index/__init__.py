"""The verified index, against real repositories over real HTTP."""
