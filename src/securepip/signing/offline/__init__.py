"""Work with the offline keys: ceremonies, rotation and recovery. Audits compare states.

A ``proposal`` says what is to change, a ``bundle`` is a proposal as a folder, a ``ceremony``
carries it to the key holders and back, and ``apply`` publishes it. All of them start from a state
that ``publish.accounted`` has checked against the log. ``recover`` is for the case that no state
passes that check.
"""
