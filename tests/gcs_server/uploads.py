"""Uploads, with what the emulator leaves out: checksums, and preconditions on resumable ones.

Resumable sessions are held here and handed to the emulator whole, as one multipart upload. Like
the service's, they survive a lost response: the last chunk sent again gets the same answer.
"""

import dataclasses
import json
import re
import threading
import urllib.parse
import uuid

from tests.gcs_server.emulator import Response
from tests.gcs_server.protocol import Request, crc32c_base64, error, split_multipart

_RANGE = re.compile(r"^bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)$")


def checksum_failure(declared: str | None, content: bytes) -> Response | None:
    """400 if the crc32c that came with the content is another's; None if it is right or absent."""
    actual = crc32c_base64(content)
    if declared is None or declared == actual:
        return None
    message = f'Provided CRC32C "{declared}" doesn\'t match calculated CRC32C "{actual}".'
    return error(400, message, "invalid")


def multipart_checksum_failure(request: Request) -> Response | None:
    """The same, of a multipart upload: its checksum is in the metadata part."""
    metadata, start, end = split_multipart(request)
    declared = json.loads(metadata or b"{}").get("crc32c")
    return checksum_failure(declared, request.body[start:end])


@dataclasses.dataclass
class Session:
    """One resumable upload."""

    start: Request
    bucket: str
    name: str
    content: bytearray = dataclasses.field(default_factory=bytearray)
    answer: Response | None = None
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def accept(self, request: Request) -> Response | None:
        """Take a chunk: 308 while more is to come, None once the content is whole."""
        text = request.header("content-range")
        if text is None:
            self.content[:] = request.body
            return None
        match = _RANGE.match(text)
        if match is None:
            return error(400, f"Failed to parse Content-Range header: {text}", "badContent")
        if match[1] is not None:
            first = int(match[1])
            if first > len(self.content):
                return error(503, "The chunk starts beyond the bytes persisted so far.")
            # A repeated chunk overlaps what is here already: the bytes kept first stay.
            self.content += request.body[len(self.content) - first :]
        if match[3] != "*" and len(self.content) == int(match[3]):
            return None
        kept = [("Range", f"bytes=0-{len(self.content) - 1}")] if self.content else []
        return Response(308, kept, b"")

    def declared_crc32c(self, last: Request) -> str | None:
        """The checksum given with the last chunk, or at the start."""
        for item in (last.header("x-goog-hash") or "").split(","):
            if item.strip().startswith("crc32c="):
                return item.strip().removeprefix("crc32c=")
        return json.loads(self.start.body or b"{}").get("crc32c")

    def as_multipart(self) -> Request:
        """The whole upload as one request."""
        metadata = json.loads(self.start.body or b"{}") | {"name": self.name}
        content_type = self.start.header("x-upload-content-type") or "application/octet-stream"
        metadata.setdefault("contentType", content_type)
        boundary = uuid.uuid4().hex
        head = (
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n"
            f"{json.dumps(metadata)}\r\n--{boundary}\r\nContent-Type: {content_type}\r\n\r\n"
        )
        body = b"".join((head.encode(), self.content, f"\r\n--{boundary}--".encode()))
        query = self.start.query | {"uploadType": "multipart", "name": self.name}
        target = f"/upload/storage/v1/b/{self.bucket}/o?{urllib.parse.urlencode(query)}"
        headers = [("Content-Type", f'multipart/related; boundary="{boundary}"')]
        return Request("POST", target, headers, body)


class Sessions:
    """The resumable uploads under way, by upload id."""

    def __init__(self):
        self._sessions: dict[str, Session] = {}

    def start(self, request: Request, bucket: str, name: str, base_url: str) -> Response:
        """Open a session; its address is in the answer's Location."""
        upload_id = uuid.uuid4().hex
        self._sessions[upload_id] = Session(request, bucket, name)
        query = urllib.parse.urlencode(
            {"uploadType": "resumable", "name": name, "upload_id": upload_id}
        )
        location = f"{base_url}/upload/storage/v1/b/{bucket}/o?{query}"
        return Response(200, [("Location", location), ("X-GUploader-UploadID", upload_id)], b"")

    def get(self, upload_id: str) -> Session | None:
        """The session, None if there is none of that id."""
        return self._sessions.get(upload_id)

    def cancel(self, upload_id: str) -> Response:
        """Forget a session and its bytes."""
        self._sessions.pop(upload_id, None)
        return Response(499, [], b"")
