"""The process: what ``asyncstatic serve`` does around the server.

==============  ==============================================================
options         the options of the command, checked, and as Hypercorn's configuration
bind            the addresses, and the sockets that listen there
run             the start: in this process, or in workers
control         signals and systemd (`notify`), for one process or many
signals         those that arrive while the server starts, and those that workers ignore
single          a service in this process, which reloads by itself
supervisor      a service of workers: start, replace, renew, stop
worker_process  a worker process, as the supervisor sees it
worker          how a worker process talks with its supervisor, and ends with it
serve_workers   `serve_app` with ``config.workers``
shared_metrics  the directory and the address of the metrics that all workers share
pid_file        ``--pid FILE``
sandbox         Landlock: the process gives up all files but those served
==============  ==============================================================
"""
