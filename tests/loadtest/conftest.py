"""A server on loopback that answers late and wrongly when it is told to."""

import asyncio
import re
import subprocess
import threading
from collections import Counter
from pathlib import Path

import pytest
from programs import MEASURED

from bootstrap import load_tools

ROOT = Path(__file__).resolve().parents[2]


class Server:
    """HTTP/1.1 with keep-alive. `behave` maps a path to a function of the number of the request to that path (from 0),
    which returns (seconds until the answer, status); status None closes the connection instead. `pages` maps a path
    to a function of the request's head and body, which returns status, headers and body."""

    def __init__(self):
        self.behave = {}
        self.pages = {}
        self.asked = Counter()
        self.url = ""
        self.connections = 0

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1].decode()
                length = re.search(rb"\r\nContent-Length: (\d+)\r\n", head)
                sent = await reader.readexactly(int(length[1])) if length else b""
                number = self.asked[path]
                self.asked[path] += 1
                delay, status = self.behave.get(path, lambda _: (0, 200))(number)
                if delay:
                    await asyncio.sleep(delay)
                if status is None:
                    return
                keep_alive = b"HTTP/1.1" in head
                connection = "keep-alive" if keep_alive else "close"
                body, headers = "x" * (number % 7), []
                if path in self.pages:
                    status, headers, body = self.pages[path](head.decode(), sent.decode())
                lines = [f"HTTP/1.1 {status} Whatever", *headers, f"Content-Length: {len(body)}"]
                writer.write("\r\n".join([*lines, f"Connection: {connection}", "", body]).encode())
                await writer.drain()
                if not keep_alive:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@pytest.fixture(autouse=True)
def measured(monkeypatch):
    """Coverage of the tools is measured when that of the tests is."""
    for name, value in MEASURED.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def server():
    """A server that runs in a thread of its own."""
    made, ready, loop, end = Server(), threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def run():
        listening = await asyncio.start_server(made.serve, "127.0.0.1", 0, backlog=1000)
        made.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        ready.set()
        await end.wait()
        listening.close()

    def work():
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(run())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(30)
    yield made
    loop.call_soon_threadsafe(end.set)
    thread.join(30)


@pytest.fixture(scope="session")
def k6():
    """k6, installed as its users do."""
    subprocess.run(["make", "--silent", "k6"], cwd=ROOT, check=True)


@pytest.fixture(params=["open_loop", "k6"])
def at_a_rate(request):
    """The tools that send at a rate."""
    if request.param == "k6":
        request.getfixturevalue("k6")
    return request.param


@pytest.fixture(scope="session")
def ab():
    """Apache's ab, installed as `make loadtest` does."""
    load_tools.main()
