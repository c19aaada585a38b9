"""The decision core: pure functions from a request and the outcome of a look-up to a response.

Nothing here reads a file, a clock or a socket. A host passes such facts as arguments, so equal
arguments give equal answers, and every decision can be tested as a table.

The path of one request::

    host      makes a `model.Request` with `model.Fields.read`
    admit     (`respond`) checks method, Host and target and returns a `model.Lookup`,
              or already a `model.ResponsePlan`
    host      looks the file up: a `Representation`, a `DirectoryRedirect` or an `Absence`
    respond   (`respond`) derives validators, evaluates preconditions, selects ranges, and builds
              the fields as `policy` decides them; the result is a `model.ResponsePlan`
    host      sends the plan

The modules, values first:

==================  ============================================================================
`model`             the values that travel between the rooms
`abnf`              grammar that all field values share, and a cache of their meanings
`accept`            Accept and Accept-Encoding
`access`            the values of settings that decide who has access
`basic`             Basic authentication, and htpasswd files
`cache_control`     Cache-Control
`cors`              Origin, and the fields that let scripts read an answer
`dates`             HTTP dates
`digest`            Want-Repr-Digest and Repr-Digest
`disposition`       Content-Disposition
`entity_tag`        ETag, If-Match, If-None-Match
`ranges`            Range: what a client asks for, and what a representation has of it
`media`             media types by file name; the table is in `media_types`
`status`            reason phrases
`forwarded`         X-Forwarded-* and Forwarded: what trusted proxies say about a client
`proxy_protocol`    the PROXY header in front of a connection
`addresses`         IP addresses, and networks of proxies and clients
`target`            request target -> safe path segments, or a refusal
`deny`              glob patterns of names that are never served
`glob`              glob patterns of paths, matched in linear time
`rules`             what the rules of a root say about one file
`redirects`         redirects with placeholders, compiled and checked
`navigation`        which requests the shell of a single-page app may answer
`netlify`           ``_redirects`` and ``_headers`` as redirects and rules
`listing`           the view of a directory that a request asks for, and the rows of its page
`manifest`          bundlers' manifests: which names never change their content
`validators`        entity-tag and modification date of a representation
`preconditions`     the steps of RFC 9110 §13.2.2
`policy`            every field that settings, hosts and views may choose, with its precedence
`describe`          the fields of an answer with a representation
`multipart`         several ranges in one answer
`pages`             constant pages for answers without a representation
`respond`           `admit` and `respond`: the two decisions
==================  ============================================================================

Rules for a module about a field:

* A parser takes the field value as latin-1 text, repeated fields joined with ", ". It returns the
  value, or None when the field is absent or unusable. It never raises, and its time is linear in
  the length of the value.
* A value that is written is read back as the same value. One that would break out of its field,
  such as a tag with a quote, cannot be constructed: that is a ValueError.
* Comparisons are methods of the type.
"""
