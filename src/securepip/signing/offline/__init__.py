"""Work with the offline keys: ceremonies, rotation, recovery; and the audit that looks back.

``proposal`` says what is to change, ``bundle`` is a proposal as a folder, ``ceremony`` carries it
to the key holders and back, and ``apply`` publishes it. All of it starts from a state that
``publish.accounted`` has accounted for; ``recover`` is the way where none can be.
"""
