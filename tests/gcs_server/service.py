"""Requests in, responses out: the emulator behind, the service's missing manners in front."""

import collections
import dataclasses
import json
import threading
import time
from contextlib import nullcontext

from tests.gcs_server.conditions import Conditions, FaultDice, Gate, flip_byte
from tests.gcs_server.emulator import Emulator, Response
from tests.gcs_server.protocol import (
    Operation,
    Request,
    classify,
    denial,
    error,
    precondition_failure,
    split_multipart,
)
from tests.gcs_server.uploads import Sessions, checksum_failure, multipart_checksum_failure

_NOT_FORWARDED = {"connection", "proxy-connection", "transfer-encoding", "content-length", "expect"}
_PRECONDITIONS = (
    "generation",
    "ifgenerationmatch",
    "ifgenerationnotmatch",
    "ifmetagenerationmatch",
)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A response, and what is to happen to it on the wire: "", "reset" or "truncate"."""

    response: Response
    mishap: str = ""


class Service:
    """The Cloud Storage API on top of an emulator; safe for concurrent requests."""

    def __init__(self, emulator: Emulator, public_url: str):
        self._emulator = emulator
        self._public_url = public_url
        self._sessions = Sessions()
        self._object_locks = collections.defaultdict(threading.RLock)
        self._log = []
        self._lock = threading.Lock()
        self._gate = Gate(None)
        self.set_conditions(Conditions())

    def set_conditions(self, conditions: Conditions) -> None:
        """From now on, treat requests so."""
        self._gate.open()
        self._gate = Gate(conditions.hold_after_uploads)
        self._conditions, self._dice = conditions, FaultDice(conditions)

    @property
    def num_held(self) -> int:
        """How many uploads wait in vain, under `hold_after_uploads`."""
        return self._gate.num_held

    def take_log(self) -> list[dict]:
        """Every request since the last call, in the order in which they were answered."""
        with self._lock:
            log, self._log = self._log, []
            return log

    def handle(self, request: Request, base_url: str, connection) -> Outcome:
        """Answer a request that came in under `base_url`; `connection` leads to the emulator."""
        conditions, dice, gate = self._conditions, self._dice, self._gate
        operation = classify(request)
        if conditions.latency_ms:
            time.sleep(conditions.latency_ms / 1000)
        if operation.name == "upload" and not gate.admits():
            return Outcome(error(503, "Held until the conditions changed.", "backendError"))
        fault, generator = dice.draw(operation.name, operation.path)
        refusal = self._refusal(request, operation, conditions)
        if refusal is not None:
            outcome = Outcome(refusal)
        elif fault in ("429", "503"):
            outcome = Outcome(error(int(fault), "Injected: please try again.", "rateLimitExceeded"))
        elif fault == "reset":
            outcome = Outcome(Response(0, [], b""), "reset")
        else:
            if fault == "corrupt" and operation.name == "upload":
                request = _corrupt_upload(request, generator)
            response = self._carry_out(request, operation, base_url, connection)
            response = self._with_links_to(base_url, response)
            if fault == "corrupt" and operation.name == "download" and response.status < 300:
                body = flip_byte(response.body, generator)
                response = dataclasses.replace(response, body=body)
            outcome = Outcome(response, {"lost_response": "reset"}.get(fault, fault))
        self._record(request, operation, outcome, fault)
        return outcome

    def _with_links_to(self, base_url: str, response: Response) -> Response:
        # Links in the metadata name the emulator's public address; a TLS client must stay on TLS.
        content_type = dict(response.headers).get("Content-Type", "")
        if base_url == self._public_url or not content_type.startswith("application/json"):
            return response
        body = response.body.replace(self._public_url.encode(), base_url.encode())
        return dataclasses.replace(response, body=body)

    def _refusal(self, request: Request, operation: Operation, conditions) -> Response | None:
        if operation.name == "token":
            return None
        if conditions.deny_status and conditions.matches(operation.name, operation.path):
            return denial(conditions.deny_status, operation)
        if conditions.token and request.header("authorization") != f"Bearer {conditions.token}":
            return denial(401, operation)
        return None

    def _carry_out(self, request, operation, base_url, connection) -> Response:
        if operation.name == "token":
            token = {"access_token": self._conditions.token, "token_type": "Bearer"}
            body = json.dumps(token | {"expires_in": 3600}).encode()
            return Response(200, [("Content-Type", "application/json")], body)
        if operation.name == "layout":
            layout = {"bucket": operation.bucket, "hierarchicalNamespace": {"enabled": False}}
            content = [("Content-Type", "application/json")]
            return Response(200, content, json.dumps(layout).encode())
        upload_id = request.query.get("upload_id")
        if operation.name == "upload" and upload_id is not None:
            return self._continue_upload(request, operation, upload_id, connection)
        with self._object_lock(request, operation):
            failure = self._precondition_failure(request, operation, connection)
            if failure is not None:
                return failure
            if operation.name == "start_upload":
                if self._bucket_is_missing(operation.bucket, connection):
                    return denial(404, operation)
                name = operation.object
                return self._sessions.start(request, operation.bucket, name, base_url)
            if request.query.get("uploadType") == "multipart":
                failure = multipart_checksum_failure(request)
                if failure is not None:
                    return failure
            response = self._forward(request, connection)
        if response.status == 404 and self._bucket_is_missing(operation.bucket, connection):
            return denial(404, operation)
        return response

    def _continue_upload(self, request, operation, upload_id, connection) -> Response:
        session = self._sessions.get(upload_id)
        if session is None:
            return error(404, "No such upload.", "notFound")
        if request.method == "DELETE":
            return self._sessions.cancel(upload_id)
        with session.lock:
            if session.answer is not None:
                return session.answer
            more = session.accept(request)
            if more is not None:
                return more
            session.answer = self._finish_upload(session, request, operation, connection)
            session.content = bytearray()
            return session.answer

    def _finish_upload(self, session, request, operation, connection) -> Response:
        failure = checksum_failure(session.declared_crc32c(request), bytes(session.content))
        if failure is not None:
            return failure
        with self._object_lock(session.start, operation):
            failure = self._precondition_failure(session.start, operation, connection)
            return failure or self._forward(session.as_multipart(), connection)

    def _object_lock(self, request: Request, operation: Operation):
        # Between the check of a precondition and the act no other writer may come.
        guarded = request.method != "GET" or any(
            name.lower() in _PRECONDITIONS for name in request.query
        )
        if not operation.object or not guarded:
            return nullcontext()
        with self._lock:
            return self._object_locks[operation.path]

    def _precondition_failure(self, request, operation, connection) -> Response | None:
        conditional = any(name.lower() in _PRECONDITIONS for name in request.query)
        if not operation.object or not (
            conditional or request.header("x-goog-if-generation-match") is not None
        ):
            return None
        current = self._emulator.stat(operation.bucket, operation.object, connection)
        status = precondition_failure(request, operation, current)
        if status == 304:
            return Response(304, [], b"")
        if status == 404:
            return error(404, f"No such object: {operation.path}", "notFound")
        if status:
            message = "At least one of the pre-conditions you specified did not hold."
            return error(412, message, "conditionNotMet")
        return None

    def _bucket_is_missing(self, bucket: str, connection) -> bool:
        target = f"/storage/v1/b/{bucket}"
        return self._emulator.request("GET", target, connection=connection).status == 404

    def _forward(self, request: Request, connection) -> Response:
        headers = [(k, v) for k, v in request.headers if k.lower() not in _NOT_FORWARDED]
        return self._emulator.request(
            request.method, request.target, headers, request.body, connection
        )

    def _record(self, request, operation, outcome, fault) -> None:
        entry = {
            "seconds": time.monotonic(),
            "operation": operation.name,
            "path": operation.path,
            "method": request.method,
            "status": outcome.response.status,
            "fault": fault,
            "authorized": request.header("authorization") is not None,
            "bytes_in": len(request.body),
            "bytes_out": len(outcome.response.body),
        }
        with self._lock:
            self._log.append(entry)


def _corrupt_upload(request: Request, generator) -> Request:
    start, end = 0, len(request.body)
    if request.query.get("uploadType") == "multipart":
        _, start, end = split_multipart(request)
    body = request.body[:start] + flip_byte(request.body[start:end], generator)
    return dataclasses.replace(request, body=body + request.body[end:])
