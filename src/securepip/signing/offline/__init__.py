"""Work with the offline keys: ceremonies, rotation, recovery; and the audit that looks back.

``proposal`` says what is to change, ``ceremony`` carries it to the key holders and back, ``apply``
publishes it.
"""
