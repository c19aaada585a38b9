"""The disk: this room finds, opens and reads files. It knows no HTTP request.

The path of a lookup, from the top:

cached      the cache in front of a source: content, open files, missing names
overlay     several sources as one
standin     the site's own page for missing names
previous    files that only the release before a deploy has
directory   one directory as a source: index, sidecars, content
candidates  the stored codings of one file, and the choice between them
resolver    a name below the root -> an open file; by `openat2`, `walk` or `windows`
root        the directory handle of the root, renewed when a deploy swaps its link

What these use:

source      the protocol of all sources, and what they return
cache       the store itself: entries, bound in bytes, eviction
witness     stamps: what must be unchanged for an entry to be used
negative    the stamp that proves a name missing
sidecar     which sidecars a directory holds
proof       the proof that a sidecar decodes to its original
decoding    gzip, zstd and br, decoded in bounded steps
digests     hashes for the entity-tag
handle      an open file: reading, page cache, "is it unchanged?"
samples     blocks that tell a file that grew from one that was rewritten
snapshot    a copy of bytes in an anonymous file, for sendfile(2)
pool        threads that wait for the disk
rootnames   absolute links that name the root
memory      small bounded dicts
kernel      every system call; tests inject faults here

docs/design.md follows a request through this room.
"""
