"""The direct entry: plain HTTP/1.1 GET and HEAD of static roots, answered without ASGI.

The path of a request:

accept         what precedes HTTP: TLS, or a PROXY header; plain HTTP on a TLS port
connection     reads bytes, answers requests in order, hands everything else over
head           checks a request head, and picks the lines that can decide its answer
admission      finds the prepared answer to a request, or the root that decides
response       serializes heads
writer         writes through the transport, or by system calls on the socket
transfer       large content, at the client's pace; `sendfile` makes the system calls

Shared by the connections of a worker:

entry          everything below, in one object
mounts         which root answers for which path
registry       the open connections: deadlines, shutdown
server         the full server behind: Hypercorn or Uvicorn, as far as it is needed here

One for each connection:

deadline       the time until which it must make progress
proxied        the PROXY header that names its client
observation    reports each request for the access log, however it ends

docs/design.md follows a request through this room.
"""
