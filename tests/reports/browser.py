"""Chromium without a screen, by WebDriver: a page is opened, looked at, and dragged."""

import base64
import contextlib
import json
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

FLAGS = (
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader',
    '--window-size=1200,900',
)  # fmt: skip
CHROMIUM, DRIVER = shutil.which('chromium'), shutil.which('chromedriver')


class Browser:
    """A session of WebDriver."""

    def __init__(self, address: str, profile: pathlib.Path) -> None:
        options = {'binary': CHROMIUM, 'args': [*FLAGS, f'--user-data-dir={profile}']}
        wanted = {'goog:chromeOptions': options, 'goog:loggingPrefs': {'browser': 'ALL'}}
        self._address = f'{address}/session'
        found = self._send('', {'capabilities': {'alwaysMatch': wanted}})
        self._address += f'/{found["sessionId"]}'

    def open(self, path: pathlib.Path) -> None:
        self._send('/url', {'url': path.absolute().as_uri()})

    def run(self, script: str) -> Any:
        """What a script returns."""
        return self._send('/execute/sync', {'script': script, 'args': []})

    def wait(self, condition: str, seconds: float = 120) -> None:
        """Until a condition holds; AssertionError after so many seconds."""
        end = time.monotonic() + seconds
        while not self.run(f'return Boolean({condition})'):
            assert time.monotonic() < end, f'{condition} did not come true; {self.errors()}'
            time.sleep(0.2)

    def drag(self, x: int, y: int, across: int) -> None:
        """Presses the mouse at a place of the window, moves it across, and lets it go."""
        move = {'type': 'pointerMove', 'duration': 200, 'origin': 'viewport'}
        actions = [
            {**move, 'x': x, 'y': y},
            {'type': 'pointerDown', 'button': 0},
            *({**move, 'x': x + across * k // 5, 'y': y} for k in range(1, 6)),
            {'type': 'pointerUp', 'button': 0},
        ]
        self._send('/actions', {'actions': [{'type': 'pointer', 'id': 'm', 'actions': actions}]})

    def screenshot(self) -> bytes:
        return base64.b64decode(self._send('/screenshot'))

    def errors(self) -> list[str]:
        """The errors that the console has had since the last time."""
        log = self._send('/se/log', {'type': 'browser'})
        return [entry['message'] for entry in log if entry['level'] == 'SEVERE']

    def close(self) -> None:
        self._send('', method='DELETE')

    def _send(self, path: str, body: dict | None = None, method: str | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._address + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=180) as answer:
                return json.load(answer)['value']
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f'{path}: {error.read().decode()[:500]}') from None


@contextlib.contextmanager
def browser(folder: pathlib.Path) -> Iterator[Browser]:
    """A browser with a new profile, for as long as the context lasts."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    command = [DRIVER, f'--port={port}', f'--log-path={folder / "driver.log"}']
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
        try:
            for _ in range(100):
                with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port), 1):
                    break
                time.sleep(0.1)
            session = Browser(f'http://127.0.0.1:{port}', folder / 'profile')
            try:
                yield session
            finally:
                session.close()
        finally:
            driver.terminate()
