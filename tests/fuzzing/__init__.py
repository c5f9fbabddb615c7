"""Fuzzing of every parser of bytes that come from the network or from other people.

    python -m tests.fuzzing [TARGET…] [--seconds N] [--jobs N]

With ``atheris`` (libFuzzer, which sees which lines an input reaches) where it is installed, and
with Hypothesis where it is not. What a run finds interesting is kept in a folder of its own, and
what broke a parser once stays in ``corpus/TARGET``, which the tests read again.
"""
