"""A headless Chromium, steered over two pipes by its own protocol: https://chromedevtools.github.io/devtools-protocol/."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WHERE_FROM = "Chromium is not on this machine: `apt-get install chromium` on Debian and Ubuntu"

_OPTIONS = (
    *("--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
    # As root, in a container, there is no sandbox; what is shown is a file of ours.
    "--no-sandbox",
)
# Chromium reads commands from its file 3, and answers on 4: each is copied out of the way of the other first.
LAUNCH = (
    "import fcntl, os, sys\n"
    "commands, answers = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 5) for number in sys.argv[1:3])\n"
    "os.dup2(commands, 3), os.dup2(answers, 4)\n"
    "os.execv(sys.argv[3], sys.argv[3:])\n"
)


@dataclass
class Chromium:
    """One page of a running browser, and all that happened on it."""

    commands: BinaryIO
    answers: BinaryIO
    session: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def call(self, method: str, **parameters: Any) -> Any:
        """Return the result of a command."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": parameters}
        session = {"sessionId": self.session} if self.session else {}
        self.commands.write(json.dumps(command | session).encode() + b"\0")
        self.commands.flush()
        while (message := self._read()).get("id") != number:
            self.events.append(message)
        assert "error" not in message, message
        return message["result"]

    def wait_for(self, method: str) -> dict[str, Any]:
        """Return the next event of this kind."""
        while True:
            message = self._read()
            self.events.append(message)
            if message.get("method") == method:
                return message

    def open(self, file: Path, *, dark: bool = False, width: int = 1280, height: int = 900) -> None:
        """Show the file, in a window of this size."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.call("Page.navigate", url=file.as_uri())
        self.wait_for("Page.loadEventFired")

    def value(self, expression: str) -> Any:
        """Return what the JavaScript comes to."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def pdf(self) -> bytes:
        """Return what is printed."""
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True)["data"])

    @property
    def complaints(self) -> list[dict[str, Any]]:
        """What stands in the console, and what broke."""
        kinds = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
        return [event for event in self.events if event.get("method") in kinds]

    @property
    def requests(self) -> list[str]:
        """Every address that was asked for."""
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]

    def _read(self) -> dict[str, Any]:
        text = bytearray()
        while (byte := self.answers.read(1)) not in (b"\0", b""):
            text += byte
        assert text, "Chromium has ended"
        message: dict[str, Any] = json.loads(text)
        return message


@contextmanager
def running(folder: Path) -> Iterator[Chromium]:
    """Run a browser whose files are in `folder`, until the end of the block."""
    assert PROGRAM
    for_them, ours = os.pipe()
    from_them, theirs = os.pipe()
    options, environment = [*_OPTIONS, f"--user-data-dir={folder}"], {**os.environ, "TMPDIR": str(folder)}
    launch = [sys.executable, "-c", LAUNCH, str(for_them), str(theirs), PROGRAM, *options]
    with (
        (folder / "chromium.log").open("wb") as log,
        subprocess.Popen(
            launch, env=environment, pass_fds=(for_them, theirs), stdout=log, stderr=log
        ) as process,
        os.fdopen(ours, "wb") as commands,
        os.fdopen(from_them, "rb") as answers,
    ):
        os.close(for_them)
        os.close(theirs)
        browser = Chromium(commands, answers)
        try:
            target = browser.call("Target.createTarget", url="about:blank")["targetId"]
            attached = browser.call("Target.attachToTarget", targetId=target, flatten=True)
            browser.session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                browser.call(f"{domain}.enable")
            yield browser
        finally:
            process.terminate()
            process.wait(20)
