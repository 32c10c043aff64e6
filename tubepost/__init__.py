"""What the five services share. It knows no service and starts nothing.

Pure (no I/O, no clock): address, outcome, record, lifecycle, retry, routing, subjects, tcprules,
control_values, trace_headers. Ports and their errors: ports, errors. Adapters: nats_bus (the only
module that knows nats-py), mailstore, keyed, directory, control, relay_list. Running a service:
settings, runtime, admin, maillog, metrics.
"""
