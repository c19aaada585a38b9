"""The process: what ``asyncstatic serve`` does around the server.

==========  ==================================================================
options     the options of the command, checked, and as Hypercorn's configuration
bind        the addresses, and the sockets that listen there
run         the start, and the work of one process
supervisor  several workers: start, replace, stop
sandbox     Landlock: the process gives up all files but those served
==========  ==================================================================
"""
