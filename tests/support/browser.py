"""Chromium by its own protocol (CDP), over a pair of pipes: pages, real keys and clicks, pictures."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from select import select
from typing import Any

from tests.support.programs import require

_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--hide-scrollbars", "--remote-debugging-pipe"),
)
_PATIENCE = 30.0  # seconds for an answer: a loaded two-core machine
_KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39,
         "ArrowDown": 40}  # fmt: skip


class Browser:
    """One page of a headless Chromium.

    Attributes:
        console: what the page logged: errors, warnings, violations of its policy, exceptions.

    """

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._buffer, self._number = b"", 0
        self._events: list[str] = []
        self._session: str | None = None
        self.console: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def _call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            readable, _, _ = select([self._answers], [], [], _PATIENCE)
            assert readable, "the browser says nothing"
            data = os.read(self._answers, 1 << 20)
            assert data, "the browser has ended"
            self._buffer += data
        raw, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(raw)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, event: str, details: dict[str, Any]) -> None:
        self._events.append(event)
        if event == "Log.entryAdded":
            self.console.append(details["entry"]["text"])
        elif event == "Runtime.consoleAPICalled":
            self.console.append(str(details["args"]))
        elif event == "Runtime.exceptionThrown":
            self.console.append(str(details["exceptionDetails"]))

    def visit(self, url: str) -> None:
        """Show a page, and wait until all of it is loaded."""
        self._events.clear()
        self._call("Page.navigate", url=url)
        self.wait_for_load()

    def wait_for_load(self) -> None:
        """Wait until a navigation that was begun has ended."""
        while "Page.loadEventFired" not in self._events:
            self._receive()

    def follow(self, *keys: str) -> None:
        """Press keys of which the last one leads to another page."""
        self._events.clear()
        for key in keys:
            self.press(key)
        self.wait_for_load()

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page; a promise is awaited."""
        result = self._call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + _PATIENCE
        while not self.evaluate(expression):
            assert time.monotonic() < deadline, expression
            time.sleep(0.02)

    def press(self, key: str) -> None:
        """Press a key, as a user does: one character, or a name such as "Enter"."""
        code = _KEYS.get(key, ord(key[0].upper()))
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        common = {"key": key, "windowsVirtualKeyCode": code}
        self._call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self._call("Input.dispatchKeyEvent", type="keyUp", **common)

    def click(self, selector: str) -> None:
        """Click the middle of an element."""
        box = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._call(
                *("Input.dispatchMouseEvent",),
                type=kind,
                x=box[0],
                y=box[1],
                button="left",
                clickCount=1,
            )

    def emulate(self, *, width: int = 1100, height: int = 800, dark: bool = False) -> None:
        """Set the size of the window in CSS pixels, and the preferred colours."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self) -> bytes:
        """Return what the window shows, as PNG."""
        shot = self._call("Page.captureScreenshot", format="png")
        return base64.b64decode(shot["data"])


@contextmanager
def browser(home: Path, *options: str) -> Iterator[Browser]:
    """Start Chromium with a profile below `home`, until the block ends."""
    program = require("chromium", apt="chromium")
    theirs_in, commands = os.pipe()
    answers, theirs_out = os.pipe()
    # The protocol is on the descriptors 3 and 4; a shell moves them there.
    script = f'exec 3<&{theirs_in} 4>&{theirs_out}; exec "$@"'
    with (home / "chromium.log").open("ab") as log:
        process = subprocess.Popen(
            ["bash", "-c", script, "bash", program, *_OPTIONS, *options,
             f"--user-data-dir={home}/profile", "about:blank"],
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            pass_fds=(theirs_in, theirs_out),
        )  # fmt: skip
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(commands, answers)
    finally:
        os.close(commands)
        os.close(answers)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
