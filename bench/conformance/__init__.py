"""Static file servers held against RFC 9110 and RFC 9112, one observable requirement at a time.

``python -m bench.conformance`` starts each server on the same document root, drives it with raw
octets and prints what it saw; ``--write`` renders ``docs/supported-http.md`` from the same findings.
"""
