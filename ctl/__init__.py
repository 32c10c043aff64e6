"""The operator's command `tubepost`: a client of the services' /v1, and `up`, which runs them all.

The only package that may import several services. It must not touch the bus: what an operator
changes goes through the service that owns it.
"""
