"""Explains refusals of Google Cloud Storage in one line: who needs which role on which bucket.

Understands the exceptions of google-cloud-storage and the texts of TensorFlow's errors.
"""

import re

_PRINCIPAL = re.compile(r"([\w.+-]+@[\w.-]+\.[a-z]+|Anonymous caller) does not have")
_PERMISSION = re.compile(r"\bstorage\.(?:objects|buckets|folders)\.\w+")
_STATUS = re.compile(r"HTTP response code (\d{3})|^(\d{3}) ")
# Whoever has an upload's address or a bearer token can use it: they are cut out of every text.
_SECRETS = re.compile(r"(?<=upload_id=)[^&\s'\"]+|ya29\.[\w.-]+|(?<=Bearer )\S+")
_TENSORFLOW_HTTP = re.compile(r"HTTP response code \d{3}|libcurl code \d+")
_GCS_PATH = re.compile(r"gs://[^\s'\"\]]+")
_READ_PERMISSIONS = ("storage.objects.get", "storage.objects.list")
# TensorFlow quotes the service's whole answer, which can be pages.
_MAX_DETAIL_CHARACTERS = 300


def explain(path: str, permission: str, error: Exception) -> str:
    """One line on why `path` could not be used.

    Args:
        path: the gs:// path.
        permission: what the refused call needs, for instance `storage.objects.get`.
        error: an exception of google-cloud-storage, google-auth or TensorFlow.
    """
    status, text = _status(error)
    kind = type(error).__name__
    if kind == "DefaultCredentialsError":
        return f"{path}: no Google Cloud credentials were found; {_SIGN_IN}"
    if kind == "RefreshError":
        return f"{path}: the Google Cloud credentials were refused or have expired; {_SIGN_IN}"
    if status == 401 or kind == "InvalidOperation":  # The latter: anonymous, and refused.
        return f"{path}: Google Cloud Storage does not accept the credentials (401); {_SIGN_IN}"
    if status == 403:
        return _forbidden(path, permission, text)
    if is_missing_object(error):
        return f"{path}: no such object (404)"
    if status == 404:
        bucket = path.removeprefix("gs://").partition("/")[0]
        return (
            f"{path}: there is no bucket gs://{bucket} (404); check its name, or make it where "
            f"the TPUs are: gcloud storage buckets create gs://{bucket} --location=REGION"
        )
    if kind == "RetryError" or status in (429, 500, 502, 503, 504):
        return (
            f"{path}: Google Cloud Storage kept failing until the deadline; run the command "
            f"again later ({_cut(text)})"
        )
    return f"{path}: {_cut(text)}"


def is_missing_object(error: Exception) -> bool:
    """Whether the service says that the object, not its bucket, is missing."""
    status, text = _status(error)
    return status == 404 and "bucket does not exist" not in text


def explain_tensorflow(error: Exception) -> str | None:
    """`explain` for an error of TensorFlow's gs:// file system; None for any other error."""
    text = str(error)
    from_tensorflow = type(error).__module__.startswith("tensorflow.")
    if not from_tensorflow or not _TENSORFLOW_HTTP.search(text):
        return None
    path = _GCS_PATH.search(text)
    # TensorFlow's text names no path when a write failed.
    permission = "storage.objects.get" if path else "storage.objects.create"
    return explain(path[0] if path else "gs://", permission, error)


_SIGN_IN = (
    "run `gcloud auth application-default login`, or give the machine a service account with "
    "access to the bucket"
)


def _forbidden(path: str, permission: str, text: str) -> str:
    bucket = path.removeprefix("gs://").partition("/")[0] or "BUCKET"
    found = _PERMISSION.search(text)
    permission = found[0] if found else permission
    match = _PRINCIPAL.search(text)
    principal = match[1] if match else "the principal in use"
    reads = permission in _READ_PERMISSIONS
    role = "roles/storage.objectViewer" if reads else "roles/storage.objectUser"
    member = principal if "@" in principal else "PRINCIPAL"
    kind = "serviceAccount" if member.endswith("gserviceaccount.com") else "user"
    return (
        f"{path}: {principal} lacks {permission} (403); grant it {role} on the bucket: gcloud "
        f"storage buckets add-iam-policy-binding gs://{bucket} --member={kind}:{member} "
        f"--role={role}"
    )


def _status(error: Exception) -> tuple[int, str]:
    """The HTTP status, 0 when there is none, and the text in one line."""
    return _code(error), " ".join(str(error).split())


def _code(error: Exception) -> int:
    code = getattr(error, "code", None)
    if isinstance(code, int):
        return int(code)
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status:
        return int(status)
    match = _STATUS.search(str(error))
    return int(match[1] or match[2]) if match else 0


def _cut(text: str) -> str:
    text = _SECRETS.sub("...", text)
    if len(text) <= _MAX_DETAIL_CHARACTERS:
        return text
    return text[:_MAX_DETAIL_CHARACTERS] + "..."
