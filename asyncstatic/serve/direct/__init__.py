"""The direct lane: plain HTTP/1.1 GET and HEAD of static roots, without a server between.

head        octets -> what they ask, or None: not ours
lane        what connections share: roots, memories, clock, limits; the full server behind
connection  one connection: requests in order, then handed over, for good
delivery    how a response leaves: in one write, without a copy, or by a transfer
deadline    until when it has to make progress
response    what was answered before, and its content, ready to be sent again
outlet      where octets leave: by the transport, or past it
outgoing    what is left of a response, and how it gets into the socket without waiting
transfer    content that is too large for one write, at the client's pace
refusal     what is answered at the door
"""
