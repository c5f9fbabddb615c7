"""Fuzzing of every parser of bytes that come from the network or from other people.

    python -m tests.fuzzing [TARGET…] [--today] [--seconds N] [--jobs N]

With ``atheris`` (libFuzzer, which sees which lines an input reaches) where it is installed, and
with bytes that are changed at random where it is not. What reaches something is kept in
``corpus/reached.tar.xz``, from which runs go on; what broke a parser once stays in
``corpus/TARGET``, which the tests read again. What is found counts only if it breaks the parser
again in a process of its own.
"""
