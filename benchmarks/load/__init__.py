"""Load: calls over some connections with some calls open on each, from a process of their own.

`python -m benchmarks.load` reads a plan from standard input and prints what was counted. The clients speak HTTP/2 and
HTTP/1.1 themselves, with headers that are encoded once: gRPC's own client takes as much time for a call as a server,
and would measure itself.
"""
