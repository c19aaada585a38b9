"""systemd's notification protocol, `Type=notify`: datagrams to a Unix socket (sd_notify(3))."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

_PATIENCE = 0.1  # seconds until a message is given up


class Notifier:
    """Tells the service manager the state of this process; does nothing where none asked.

    Args:
        environment: the variables of the process: NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID.

    Attributes:
        watchdog_seconds: how often `alive` is expected at least; None without a watchdog.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # A name that begins with @ is in the abstract name space, where it begins with a zero byte.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_seconds = _watchdog_seconds(environment) if address else None

    def ready(self, status: str) -> None:
        """Tell that the service is up, at the start or after a reload."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Tell that a reload has begun; `ready` tells its end."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Tell that the service is ending."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Tell that the service still answers."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address or not hasattr(socket, "AF_UNIX"):
            return
        text = "\n".join(line.replace("\n", " ") for line in lines)
        message = text.encode(errors="backslashreplace")  # a path may have bytes that are no UTF-8
        # A manager that is gone, or reads nothing, does not stop a server.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(_PATIENCE)
            sock.sendto(message, self._address)


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """Read the interval; the variables may have been meant for a parent process."""
    usec, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not usec.isdecimal() or not int(usec) or pid not in ("", str(os.getpid())):
        return None
    return int(usec) / 1_000_000
