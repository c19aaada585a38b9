"""Content framed in two ways is refused first: Transfer-Encoding beside Content-Length."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from asyncstatic import StaticFiles
from asyncstatic.http.model import Lookup

FRAMED_TWICE = [(b"transfer-encoding", b"chunked"), (b"content-length", b"5")]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_it_is_refused_before_a_file_is_opened_or_content_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """RFC 9112 §6.1: answer 400 and close the connection."""
    (tmp_path / "a.txt").write_bytes(b"a")
    static = await asyncio.to_thread(StaticFiles, tmp_path)
    looked_up: list[Lookup] = []
    monkeypatch.setattr(static.source, "open_nowait", looked_up.append)
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("content was read")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": "/a.txt", "raw_path": b"/a.txt"}
    await static({**scope, "headers": FRAMED_TWICE}, receive, send)
    assert sent[0]["status"] == 400
    assert (b"connection", b"close") in sent[0]["headers"]
    assert any(message.get("body") for message in sent) == (method != "HEAD")
    assert looked_up == []
    static.close()
