"""Clients that count every request that fails, while a server is reloaded or loses workers."""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from types import TracebackType

from tests.support.raw import HOST


class StrictClients:
    """Threads that request one path until the end, each on connections of its own.

    Half of them make a connection for each request. The others keep theirs, until the server says
    that it closes it.

    Args:
        port: where the server listens.
        path: what they request.
        length: bytes of the content.
        threads: how many there are.
        tls: whether they use TLS; no certificate is checked.

    Attributes:
        failures: each request that got no whole answer of status 200.
        requests: how many were made.
    """

    def __init__(
        self, port: int, path: str, length: int, threads: int = 4, *, tls: bool = False
    ) -> None:
        self._port, self._path, self._length, self._tls = port, path, length, tls
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self.failures: list[str] = []
        self.requests = 0
        self._threads = [
            threading.Thread(target=self._run, args=(number % 2 == 0,)) for number in range(threads)
        ]

    def __enter__(self) -> StrictClients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def more(self, requests: int = 50) -> None:
        """Wait until so many more requests were made."""
        target = self.requests + requests
        deadline = time.monotonic() + 30
        while self.requests < target:
            assert time.monotonic() < deadline, "the clients get no answers"
            time.sleep(0.01)

    def _run(self, is_fresh: bool) -> None:
        client = self._connection()
        while not self._ended.is_set():
            try:
                self._request(client)
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.failures.append(f"{'fresh' if is_fresh else 'kept'}: {error!r}")
                client.close()
            with self._lock:
                self.requests += 1
            if is_fresh:
                client.close()
        client.close()

    def _request(self, client: http.client.HTTPConnection) -> None:
        client.request("GET", self._path)
        answer = client.getresponse()
        content = answer.read()
        if answer.status != 200 or len(content) != self._length:
            raise OSError(f"{answer.status}, {len(content)} bytes")

    def _connection(self) -> http.client.HTTPConnection:
        if not self._tls:
            return http.client.HTTPConnection(HOST, self._port, timeout=20)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(HOST, self._port, timeout=20, context=context)
