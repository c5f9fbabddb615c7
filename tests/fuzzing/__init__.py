"""Fuzzing of every parser of bytes that come from the network or from other people.

    python -m tests.fuzzing [TARGET…] [--today] [--seconds N] [--jobs N]

If ``atheris`` is installed, libFuzzer sees which lines an input reaches; otherwise bytes are
changed at random. Runs start from the inputs in ``corpus/reached.tar.xz``, which reach different
lines. The inputs that once broke a parser are in ``corpus/TARGET``, and the tests try them again.
A fault counts only if its input breaks the parser again in a new process.
"""
