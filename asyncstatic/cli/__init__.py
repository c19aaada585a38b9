"""The command ``asyncstatic``.

===========  =================================================================
commands     ``serve``, ``config``, ``explain``, ``hash``
options      the options of ``serve``: for each, a flag and a variable
show_config  the output of ``asyncstatic config``
schema       a JSON Schema of the configuration file, for editors
===========  =================================================================
"""

import sys

try:
    from asyncstatic.cli.commands import main as main
except KeyboardInterrupt:  # it takes a moment
    sys.exit(130)
