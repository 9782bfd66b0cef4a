"""The part of the Cloud Storage wire protocol that the server has to understand itself."""

import base64
import dataclasses
import json
import re
import urllib.parse

import google_crc32c

from tests.gcs_server.emulator import Response

_OBJECT = re.compile(r"^(?:/download)?/storage/v1/b/([^/]+)/o/([^/]+)$")
_LIST = re.compile(r"^/storage/v1/b/([^/]+)/o/?$")
_UPLOAD = re.compile(r"^(?:/resumable)?/upload/storage/v1/b/([^/]+)/o/?$")
_COMPOSE = re.compile(r"^/storage/v1/b/([^/]+)/o/([^/]+)/compose$")
_COPY = re.compile(r"^/storage/v1/b/[^/]+/o/[^/]+/(?:rewriteTo|copyTo)/b/([^/]+)/o/([^/]+)$")
_LAYOUT = re.compile(r"^/storage/v1/b/([^/]+)/storageLayout$")
_BUCKET = re.compile(r"^/storage/v1/b(?:/([^/]+))?(?:/iam.*)?/?$")
_XML = re.compile(r"^/([^/]+)/(.+)$")
_OBJECT_METHODS = {"GET": "stat", "DELETE": "delete", "PATCH": "patch", "PUT": "patch"}
_XML_METHODS = {"GET": "download", "HEAD": "stat", "DELETE": "delete"}
READS = ("download", "stat", "list", "layout", "bucket")


@dataclasses.dataclass(frozen=True)
class Request:
    """A whole HTTP request; `headers` keep their order and case."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of that name."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters."""
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.target).query))


@dataclasses.dataclass(frozen=True)
class Operation:
    """What a request asks for, and on which object ("" where it is on none)."""

    name: str
    bucket: str = ""
    object: str = ""

    @property
    def path(self) -> str:
        """`bucket/object`."""
        return f"{self.bucket}/{self.object}"


def classify(request: Request) -> Operation:
    """Tell what is asked: JSON API, media up and down, the XML API's reads, token endpoint."""
    path, query = urllib.parse.urlsplit(request.target).path, request.query
    unquote = urllib.parse.unquote
    if path.rstrip("/") in ("/token", "/oauth2/v4/token"):
        return Operation("token")
    if match := _LAYOUT.match(path):
        return Operation("layout", match[1])
    if match := _UPLOAD.match(path):
        starts = query.get("uploadType") == "resumable" and "upload_id" not in query
        name = query.get("name") or _name_in_body(request)
        return Operation("start_upload" if starts else "upload", match[1], name)
    if match := _OBJECT.match(path):
        media = path.startswith("/download") or query.get("alt") == "media"
        name = _OBJECT_METHODS.get(request.method, "unsupported")
        if media and request.method == "GET":
            name = "download"
        return Operation(name, match[1], unquote(match[2]))
    if match := _LIST.match(path):
        return Operation("list", match[1])
    for pattern, name in ((_COMPOSE, "compose"), (_COPY, "copy")):
        if match := pattern.match(path):
            return Operation(name, match[1], unquote(match[2]))
    if match := _BUCKET.match(path):
        return Operation("bucket", match[1] or "")
    if match := _XML.match(path):
        name = _XML_METHODS.get(request.method, "unsupported")
        return Operation(name, match[1], unquote(match[2]))
    return Operation("unsupported")


def _name_in_body(request: Request) -> str:
    body = request.body
    if request.query.get("uploadType") == "multipart":
        body = split_multipart(request)[0]
    try:
        return json.loads(body or b"{}").get("name", "")
    except ValueError:
        return ""


def split_multipart(request: Request) -> tuple[bytes, int, int]:
    """A multipart upload's metadata JSON, and where in the body its content starts and ends."""
    boundary = re.search(r'boundary="?([^";]+)', request.header("content-type") or "")
    if boundary is None:
        return b"", 0, 0
    mark = b"--" + boundary[1].encode()
    body = request.body
    json_start = body.find(b"\r\n\r\n", body.find(mark)) + 4
    second = body.find(b"\r\n" + mark, json_start)
    content_start = body.find(b"\r\n\r\n", second + 2) + 4
    content_end = body.rfind(b"\r\n" + mark + b"--")
    return body[json_start:second], content_start, content_end


def precondition_failure(request: Request, operation: Operation, current: dict | None) -> int:
    """The status that the request's preconditions earn against the live object; 0: they hold."""
    query = request.query
    generation = int(current["generation"]) if current else 0
    reads = operation.name in READS
    wanted = query.get("generation")
    if wanted is not None and int(wanted) != generation:
        return 404
    match = query.get("ifGenerationMatch", request.header("x-goog-if-generation-match"))
    missing_target = current is None and (reads or operation.name in ("delete", "patch"))
    if match is not None and int(match) != generation and not missing_target:
        return 412
    not_match = query.get("ifGenerationNotMatch")
    if not_match is not None and int(not_match) == generation:
        return 304 if reads else 412
    metageneration = query.get("ifMetagenerationMatch")
    if metageneration is not None and current is not None:
        if metageneration != str(current.get("metageneration", "1")):
            return 412
    return 0


def crc32c_base64(data: bytes) -> str:
    """The checksum as the API writes it: big-endian, base64."""
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def error(status: int, message: str, reason: str = "") -> Response:
    """An error in the JSON API's form."""
    detail = {"message": message, "domain": "global", "reason": reason or str(status)}
    body = {"error": {"code": status, "message": message, "errors": [detail]}}
    content = [("Content-Type", "application/json; charset=UTF-8")]
    return Response(status, content, json.dumps(body).encode())


def denial(status: int, operation: Operation) -> Response:
    """What the service says to one who may not, in its words."""
    verbs = {"download": "get", "stat": "get", "list": "list", "delete": "delete"}
    permission = f"storage.objects.{verbs.get(operation.name, 'create')}"
    if status == 401:
        return error(401, "Invalid Credentials", "authError")
    if status == 404:
        return error(404, "The specified bucket does not exist.", "notFound")
    return error(
        status,
        f"trainer@example.iam.gserviceaccount.com does not have {permission} access to the Google "
        f"Cloud Storage object. Permission '{permission}' denied on resource (or it may not "
        "exist).",
        "forbidden",
    )
