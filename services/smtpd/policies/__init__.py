"""The policies of smtpd, by what they look at. Each is pure: facts in, Refusal or None out.

A policy is a function with a docstring that says what it is for; its place in a chain is
policy.py's to say. Nothing here asks anybody anything: what it needs to know is a fact.
"""
