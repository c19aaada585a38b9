"""``python -m asyncstatic`` is the same as ``asyncstatic``."""

from asyncstatic.cli import main

if __name__ == "__main__":
    main(prog_name="asyncstatic")
