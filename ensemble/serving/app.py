"""The paths of the server, as an ASGI application."""

import asyncio
import base64
import contextlib
import hashlib
import logging
import os
import re
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ensemble.serving import rest
from ensemble.serving.batching import BatchQueue
from ensemble.serving.limits import Limits
from ensemble.serving.metrics import Metrics
from ensemble.serving.model import ServedModel
from orchard import html
from orchard.errors import OrchardError

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# A body that is too large is read on, and thrown away, up to this many times the limit.
_READ_ON = 4
_SAFE = {"X-Content-Type-Options": "nosniff"}


def make_app(model: ServedModel, limits: Limits) -> Starlette:
    """The application that serves a model.

    Args:
        model: what to serve.
        limits: of requests.
    """
    server = _Server(model, limits)
    base = f"/v1/models/{model.name}"
    models = [base, f"{base}/versions/{model.version}"]
    routes = [
        Route("/", server.page),
        Route("/healthz", server.health),
        Route("/metrics", server.metrics),
        *(Route(f"{one}:predict", server.predict, methods=["POST"]) for one in models),
        *(Route(one, server.status) for one in models),
        *(Route(f"{one}/metadata", server.metadata) for one in models),
    ]
    handlers = {HTTPException: server.refuse_path, Exception: server.fail}
    return Starlette(routes=routes, exception_handlers=handlers, lifespan=server.lifespan)


class _Server:
    """What the routes call.

    Bodies are parsed and photos prepared in threads of their own, one a core, and the model runs in
    one thread, which it fills all cores from: the event loop only waits, and so stays quick.
    """

    def __init__(self, model: ServedModel, limits: Limits):
        self._model, self._limits = model, limits
        self._in_flight = 0
        self._preparing = ThreadPoolExecutor(len(os.sched_getaffinity(0)), "prepare")
        self._running = ThreadPoolExecutor(1, "model")
        self._queues: list[BatchQueue] = []
        self._metrics = Metrics(lambda: sum(map(len, self._queues)))
        self._page, self._policy = _page(model, limits)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """From the first request to the last."""
        del app
        self._queues = [
            BatchQueue(
                run,
                self._running,
                max_batch=self._limits.max_batch,
                max_wait_seconds=self._limits.max_wait_ms / 1000,
                on_batch=self._metrics.batch,
            )
            for run in (self._model.predict, self._model.predict_members)
        ]
        tasks = [asyncio.create_task(queue.serve()) for queue in self._queues]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            self._preparing.shutdown()
            self._running.shutdown()

    async def page(self, request: Request) -> Response:
        """The page to drop a photo on."""
        del request
        headers = {**_SAFE, "Content-Security-Policy": self._policy}
        return HTMLResponse(self._page, headers=headers)

    async def health(self, request: Request) -> Response:
        """That the server answers; it listens once the model is warm."""
        del request
        return PlainTextResponse("ok\n")

    async def metrics(self, request: Request) -> Response:
        """Numbers for Prometheus."""
        del request
        return Response(self._metrics.text(), media_type=_METRICS_TYPE)

    async def status(self, request: Request) -> Response:
        """That the model is there."""
        del request
        return JSONResponse(rest.status(self._model.version))

    async def metadata(self, request: Request) -> Response:
        """What the model takes and gives."""
        del request
        return JSONResponse(self._model.metadata())

    async def predict(self, request: Request) -> Response:
        """Predictions, or one line that says why not."""
        with self._metrics.request():
            response = await self._answer(request)
        self._metrics.answered(response.status_code)
        return response

    async def _answer(self, request: Request) -> Response:
        if self._in_flight >= self._limits.max_requests:
            with contextlib.suppress(asyncio.TimeoutError, ClientDisconnect):
                await asyncio.wait_for(self._read(request, 0), self._limits.timeout_seconds)
            busy = f"{self._in_flight} requests are being answered; try again"
            return _refused(rest.RequestError(busy, 503), {"Retry-After": "1"})
        self._in_flight += 1
        try:
            return await self._predicted(request)
        except rest.RequestError as error:
            # What is left of a body is not waited for.
            return _refused(error, {"Connection": "close"} if error.status in (408, 413) else {})
        except ClientDisconnect:
            return _refused(rest.RequestError("the client is gone", 499))
        except OrchardError as error:
            logging.error("%s", error)
            return _refused(rest.RequestError(str(error), 500))
        finally:
            self._in_flight -= 1

    async def _predicted(self, request: Request) -> Response:
        loop = asyncio.get_running_loop()
        timeout = self._limits.timeout_seconds
        try:
            limit = self._limits.max_body_bytes
            body = await asyncio.wait_for(self._read(request, limit), timeout)
        except asyncio.TimeoutError:
            raise rest.RequestError(f"no whole request within {timeout:g} s", 408) from None
        if body is None:
            most = f"{self._limits.max_body_mb} MB"
            raise rest.RequestError(f"a body of more than {most}; send less at once", 413)
        wanted, jpegs = await loop.run_in_executor(self._preparing, self._prepared, body)
        del body
        plain, by_member = self._queues
        queue = by_member if wanted.signature == rest.MEMBERS else plain
        rows = await queue.submit(jpegs)
        text = await loop.run_in_executor(self._preparing, self._written, wanted, rows)
        return Response(text, media_type="application/json", headers=_SAFE)

    async def _read(self, request: Request, limit_bytes: int) -> bytes | None:
        """The body; None of a larger one.

        That is not kept, but read on for a while: a client that is still sending would not hear
        why it is refused.
        """
        most = _READ_ON * self._limits.max_body_bytes
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:
            return None
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size <= limit_bytes:
                parts.append(part)
            else:
                parts.clear()
            if size > most:
                break
        return b"".join(parts) if size <= limit_bytes else None

    def _prepared(self, body: bytes) -> tuple[rest.Predict, list[bytes]]:
        limit = self._limits.max_instances
        wanted = rest.parse_predict(body, self._model.signatures, limit)
        return wanted, self._model.prepare(wanted.images)

    def _written(self, wanted: rest.Predict, rows: list) -> bytes:
        return bytes(JSONResponse(rest.answer(wanted, self._model.outputs(wanted, rows))).body)

    async def refuse_path(self, request: Request, error: Exception) -> Response:
        """What is at no path, or of no method."""
        assert isinstance(error, HTTPException)
        known = f"POST /v1/models/{self._model.name}:predict"
        message = f"{request.method} {request.url.path[:200]} is nothing here; there is {known}"
        return _refused(rest.RequestError(message, error.status_code))

    async def fail(self, request: Request, error: Exception) -> Response:
        """A bug: the client gets one line; the traceback is on the server's screen, by uvicorn."""
        del request, error
        return _refused(rest.RequestError("internal error; see the server's own messages", 500))


def _refused(error: rest.RequestError, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": str(error)}, error.status, {**_SAFE, **(headers or {})})


def _page(model: ServedModel, limits: Limits) -> tuple[str, str]:
    """The page, and what it allows a browser: its own script and style, and asking this server."""
    text = html.render(
        "ensemble/serve.html",
        name=model.name,
        signature=rest.MEMBERS if rest.MEMBERS in model.signatures else rest.DEFAULT,
        max_body_mb=limits.max_body_mb,
    )
    allowed = {
        kind: " ".join(_hash(one) for one in re.findall(rf"<{kind}>(.*?)</{kind}>", text, re.S))
        for kind in ("script", "style")
    }
    return text, (
        f"default-src 'none'; script-src {allowed['script']}; style-src {allowed['style']}; "
        "img-src blob: data:; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
