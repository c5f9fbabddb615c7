"""Trust on first use: a repository of this machine's own over an index that does not sign.

``protect`` (``setup``) makes and believes one. While the resolver asks, ``signer`` reads the pages
that it needs, judges them by the rules of ``repo sync``, and signs them; then they are verified
along the whole chain like those of any other repository. ``witness`` asks other indexes, and
``memory_file`` shares what was seen with other machines.

Rule: no byte reaches pip by another way. This room only signs.
"""
