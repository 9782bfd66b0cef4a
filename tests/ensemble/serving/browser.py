"""Headless Chromium by its own protocol, over a pipe: no driver and no other package is needed.

https://chromedevtools.github.io/devtools-protocol: messages of JSON, each ended by a zero byte,
through the file descriptors 3 and 4.
"""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")


def executable() -> str | None:
    """Where Chromium is; None: nowhere."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """One tab."""

    def __init__(self, to_browser: int, from_browser: int):
        self._to_browser, self._from_browser = to_browser, from_browser
        self._number, self._session, self._read = 0, "", b""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self.messages: list[dict] = []
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict:
        """Answer of one call; AssertionError with the browser's words where it fails."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to_browser, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            if hasattr(self, "messages"):
                self.messages.append(answer)

    def _next(self) -> dict:
        while b"\0" not in self._read:
            part = os.read(self._from_browser, 1 << 20)
            assert part, "Chromium is gone"
            self._read += part
        message, _, self._read = self._read.partition(b"\0")
        return json.loads(message)

    def evaluate(self, script: str) -> Any:
        """Value of a script, which may be a promise."""
        found = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait_for(self, script: str, seconds: float = 20) -> Any:
        """Value of a script once it is true."""
        until = time.monotonic() + seconds
        while not (value := self.evaluate(script)):
            assert time.monotonic() < until, f"never: {script}"
            time.sleep(0.05)
        return value

    def open(self, url: str) -> None:
        """Go to a page, and wait for it."""
        self.call("Page.navigate", url=url)
        self.wait_for(f"document.readyState == 'complete' && location.href == {json.dumps(url)}")

    def screenshot(self) -> bytes:
        """A PNG of what is seen."""
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])

    def complaints(self) -> list[str]:
        """What the browser's console has of errors, such as a violated policy."""
        self.evaluate("1")  # All messages before it have come then.
        found = [one for one in self.messages if one.get("method") == "Log.entryAdded"]
        thrown = [one for one in self.messages if one.get("method") == "Runtime.exceptionThrown"]
        return [one["params"]["entry"]["text"] for one in found] + list(map(str, thrown))


@contextlib.contextmanager
def page(width_px: int = 1000, height_px: int = 800) -> Iterator[Page]:
    """A tab of a browser of its own."""
    to_browser, from_browser = os.pipe(), os.pipe()

    def give() -> None:
        # 3 and 4 may themselves be ends of these pipes.
        reading, writing = os.dup(to_browser[0]), os.dup(from_browser[1])
        os.dup2(reading, 3)
        os.dup2(writing, 4)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            str(executable()),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            f"--window-size={width_px},{height_px}",
            f"--user-data-dir={profile}",
            "--remote-debugging-pipe",
        ]
        browser = subprocess.Popen(
            command, close_fds=False, preexec_fn=give, stderr=subprocess.DEVNULL
        )
        os.close(to_browser[0])
        os.close(from_browser[1])
        try:
            yield Page(to_browser[1], from_browser[0])
        finally:
            browser.terminate()
            browser.wait(20)
            os.close(to_browser[1])
            os.close(from_browser[0])
