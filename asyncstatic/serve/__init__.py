"""The hosts: this room connects the decision core (http/) and the disk (files/) to servers.

The path of a request:

scope          ASGI scope -> `Request`: method, target below the mount, fields
answer         the decided `Answer`, and `Pending`: a request that has to wait for one
asgi           `StaticFiles`: `begin` decides, or says that it must wait; `finish` waits and decides
roots          opens the directories of a root, and stacks its sources
portable       sends a plan by ASGI messages, on any server
chunks         large content in chunks, at the client's pace
offload        zerocopysend, pathsend, X-Accel-Redirect: another program sends the content
cut            reports a transfer that cannot be finished

Around that path:

middleware     static roots in front of an app; `in_front` the mounts in front of a root
access         networks, rates and users of a root; `users` verifies passwords
authorization  the `authorize=` hook; `signing` makes and checks signed URLs
outside        answers what belongs to no root of a site
explain        runs a request through an app, and tells why it gets its answer; `decisions` says it
site_files     ``_redirects`` and ``_headers`` of a root, read again when they change
manifest       the manifests of a root, read again when they change
reread         content that is read again after its file has changed: manifests, users
starlette      Starlette's names for our settings, and its exception handlers
quart/         `AsyncStatic`, `send_file`, `send_from_directory`
direct/        the direct entry: plain HTTP/1.1, answered without ASGI

Servers:

server         Hypercorn with the direct entry in front; `hypercorn` joins the two
tls            certificates by server name, and their renewal; `certificate` reads the files
protocols      Hypercorn's HTTP/1.1 with a few corrections; `http2` its HTTP/2, `tcp_server` its TCPServer
uvicorn        the direct entry in front of Uvicorn
proxies        scopes behind trusted proxies, as their clients made the requests
access_log     one line per request; `hypercorn_log` writes it beside Hypercorn
tcp            facts about a socket that no event loop offers
operations     health and metrics, in front of the app: `own_paths`, `health`, `metrics`
callables      tells kinds of apps, such as WSGI apps, by how they are called
startup        refuses to start, in one line, under every server
reload         ``--reload``: documents reload themselves; `watch` notices changes
process/       `asyncstatic serve`: options, addresses, workers, signals, sandbox

docs/design.md follows a request through these modules.
"""
