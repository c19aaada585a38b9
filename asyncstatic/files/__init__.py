"""The disk: this room finds, opens and reads files. It knows no HTTP request.

The path of a lookup, from the top:

cached           the cache in front of a source: content of small files, open large files
overlay          several sources as one
fallback         the shell of a single-page app, and the site's own error pages
tree_source      one tree as a source: on the event loop first, then in the pool; the tree before a deploy
select           chooses the file that represents a resource: index, sidecar, original
clean            the same for pages without their suffix, and the policy for slashes
candidates       the stored codings of one file, and the stamps that the choice depends on
contents         opens the chosen file: its bytes in memory, or a handle; digests, proofs
tree             the protocol of trees: opens files, stamps and lists directories (`TreeReader`)
directory        a directory as a tree, and the trees that deploys replace
zip_tree         a zip archive as a tree, and the archives that replace it
zip_archive      an open archive: its names, and the content of its members
zip_format       the structures of a zip, read strictly
unpacked         deflated members in memory, decoded and as gzip
resolver         a name below the root -> an open file; by `openat2`, `walk` or `windows`
root             the directory handle of the root, renewed when a deploy swaps its link

Used by these:

source           the protocol of all sources, and what they return
cache            the store itself: entries, bounds in bytes and open files, eviction
dependency       stamps: what must be unchanged for a cached answer to hold
zipped           a folder as a zip that is made while it is sent
directory_names  the names in directories: they tell sidecars, and missing names
proof            the proof that a sidecar decodes to its original
decoding         gzip, zstd and br, decoded in bounded steps
sidecar          the names of sidecars, and of the files of pages
digests          hashes for the entity-tag
handle           content in an open file: reading, page cache, "is it unchanged?"
samples          blocks that tell a file that grew from one that was rewritten
memfd            a copy of content in an anonymous file, for sendfile(2)
pool             threads that wait for the disk
rootnames        absolute links that name the root
spelling         names as the os module spells them
bounded          a dict that is bounded in the number of its entries
kernel           every system call; tests inject faults here

docs/design.md follows a request through this room.
"""
