"""A Cloud Storage API on loopback: fake-gcs-server, and in front of it what it leaves out.

`GcsServer` starts it in a process of its own and drives it; `python -m tests.gcs_server -- CMD`
runs a command against it. The real service is never contacted: every host but the faked ones is
refused, and the variables that would lead to real credentials are taken out of the environment.
"""

import base64
import collections
import dataclasses
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from orchard.parallel.processes import die_with_parent
from tests.gcs_server.conditions import Conditions

_ROOT = Path(__file__).resolve().parents[2]
_CREDENTIAL_VARIABLES = ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_AUTH_TOKEN_FOR_TESTING")


class GcsServer:
    """A running server with one empty bucket; a context manager.

    Attributes:
        bucket: the bucket's name.
        url: its plain-HTTP address.
        env: variables that send google-cloud-storage and TensorFlow there, anonymously; to be
            set before the process's first use of gs://.
    """

    def __init__(self, bucket: str = "orchard-test"):
        self.bucket = bucket
        self._directory = Path(tempfile.mkdtemp(prefix="gcs_server_"))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.gcs_server.serve", str(self._directory), bucket],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=functools.partial(die_with_parent, os.getpid()),
        )
        line = self._process.stdout.readline()
        if not line:
            self.stop()
            raise RuntimeError("the Cloud Storage test server did not start")
        started = json.loads(line)
        self.url = started["url"]
        self.env = _environment(self.url, started["ca"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self) -> None:
        """End the server, its emulator and everything in it."""
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def path(self, *parts: str) -> str:
        """`gs://` and the bucket, followed by `parts`."""
        return "/".join((f"gs://{self.bucket}", *parts))

    def process_env(self, **more: str) -> dict[str, str]:
        """The whole environment of a child process that is to use the server."""
        inherited = {k: v for k, v in os.environ.items() if k not in _CREDENTIAL_VARIABLES}
        return inherited | self.env | more

    def service_account_env(self, token: str) -> dict[str, str]:
        """The same for a client that signs in at Google's (faked) hosts, with a made-up key.

        They get `token` from the token endpoint; `Conditions(token=...)` makes it compulsory.
        """
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        key_path = self._directory / "service_account.json"
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        account = {
            "type": "service_account",
            "project_id": "test",
            "private_key_id": "0",
            "private_key": pem.decode(),
            "client_email": "trainer@example.iam.gserviceaccount.com",
            "client_id": "0",
            "token_uri": "https://oauth2.googleapis.com/token",
        }
        key_path.write_text(json.dumps(account))
        self.set_conditions(Conditions(token=token))
        env = self.process_env(GOOGLE_APPLICATION_CREDENTIALS=str(key_path))
        del env["STORAGE_EMULATOR_HOST"]
        return env

    def set_conditions(self, conditions: Conditions) -> None:
        """Treat requests so from now on, and forget the log so far."""
        self._control("conditions", json.dumps(dataclasses.asdict(conditions)).encode())
        self.take_log()

    def take_log(self) -> list[dict]:
        """Every request since the last call: operation, path, status, fault, bytes."""
        return json.loads(self._control("log"))

    def num_held(self) -> int:
        """How many uploads are held, under `hold_after_uploads`."""
        return json.loads(self._control("held"))

    def take_counts(self) -> collections.Counter:
        """The number of requests since the last call, by operation."""
        return collections.Counter(entry["operation"] for entry in self.take_log())

    def objects(self, prefix: str = "") -> dict[str, dict]:
        """The metadata of the bucket's objects, by name; not counted, not failed."""
        return {
            item["name"]: item
            for item in json.loads(self._control(f"objects?{self.bucket}/{prefix}"))
        }

    def crc32c(self, prefix: str = "") -> dict[str, int]:
        """The checksums of the bucket's objects by name, as numbers."""
        return {
            name: int.from_bytes(base64.b64decode(item["crc32c"]), "big")
            for name, item in self.objects(prefix).items()
        }

    def read(self, name: str) -> bytes:
        """An object's content."""
        return self._control(f"read?{self.bucket}/{name}")

    def clear(self) -> None:
        """Delete every object, and treat requests normally again."""
        self.clear_objects()
        self.set_conditions(Conditions())

    def clear_objects(self) -> None:
        """Delete every object."""
        self._control(f"clear?{self.bucket}", b"")

    def _control(self, command: str, body: bytes | None = None) -> bytes:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(f"{self.url}/_server/{command}", data=body)
        with opener.open(request, timeout=60) as response:
            return response.read()


def _environment(url: str, ca_path: str) -> dict[str, str]:
    return {
        "STORAGE_EMULATOR_HOST": url,
        # TensorFlow's hosts are fixed: it gets to us as to a proxy. SSL_CERT_FILE it ignores.
        "https_proxy": url,
        "no_proxy": "127.0.0.1,localhost",
        "CURL_CA_BUNDLE": ca_path,
        "REQUESTS_CA_BUNDLE": ca_path,
        "NO_GCE_CHECK": "true",
        "GCS_STAT_CACHE_MAX_AGE": "0",
        "GCS_RETRY_CONFIG_INIT_DELAY_TIME_US": "10000",
    }
