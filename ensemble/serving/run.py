"""The socket and the process: a port that is taken is one line, and SIGTERM loses no answer."""

import asyncio
import signal
import socket
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from orchard.errors import OrchardError

# What is in flight when the server is told to end has so long.
_GRACE_SECONDS = 30


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens; of port 0 the system's choice.

    Raises:
        OrchardError: the port is taken, or the address is none of this machine's.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        reason = error.strerror or error
        raise OrchardError(
            f"--host={host} --port={port}: {reason}; give another --port, or end what listens there"
        ) from None


def run_app(app: Starlette, listening: socket.socket) -> None:
    """Answer until SIGTERM or Ctrl-C, and then until everything that has begun is answered."""
    asyncio.run(make_server(app).serve(sockets=[listening]))


def make_server(app: Starlette) -> uvicorn.Server:
    """The server, which answers once it runs, until its `should_exit` is true."""
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    return _Server(config)


class _Server(uvicorn.Server):
    """uvicorn's, but it ends with status 0 where it ended well: its own raises the signal again."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True
