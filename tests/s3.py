"""A small S3 on a loopback port: well, or ill in one of the ways that real ones were seen to be."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

BUCKET = "fleetpgo"
KEYS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}

ANSWERS = {
    "503": (503, ""),
    "slow down": (503, "SlowDown"),
    "500": (500, "InternalError"),
    "403": (403, "AccessDenied"),
    "507": (507, ""),
    "no bucket": (404, "NoSuchBucket"),
}
ILLNESSES = (*ANSWERS, "cut", "never")


class S3(ThreadingHTTPServer):
    """One bucket; ``illness`` is "" or one of :data:`ILLNESSES`, ``asked`` the methods of all requests.

    ``changed``: when an object was last put, Unix time; one that was not put is as old as the epoch.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.illness, self.objects, self.asked = "", dict[str, bytes](), list[str]()
        self.changed = dict[str, float]()
        self.over = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def heal(self) -> None:
        """Be well again, and empty; requests that were not answered end."""
        self.over.set()
        self.illness, self.over = "", threading.Event()
        self.objects.clear()
        self.changed.clear()
        self.asked.clear()

    def stop(self) -> None:
        """End the server."""
        self.heal()
        self.shutdown()
        self.server_close()


def as_connection(s3: S3) -> str:
    """Airflow's connection to it, which gives up at once."""
    impatient = {"read_timeout": 0.3, "retries": {"max_attempts": 0}}
    extra = {"endpoint_url": s3.url, "region_name": KEYS["region_name"], "config_kwargs": impatient}
    login = {"login": KEYS["aws_access_key_id"], "password": KEYS["aws_secret_access_key"]}
    return json.dumps({"conn_type": "aws", **login, "extra": extra})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: S3

    def _answer(self, status: int, body: bytes = b"", *, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _serve(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(self.command)
        parts = urlsplit(self.path)
        key, query = unquote(parts.path).removeprefix(f"/{BUCKET}").strip("/"), parse_qs(parts.query)
        objects, illness = self.server.objects, self.server.illness
        if illness == "never":
            self.server.over.wait()
        elif illness == "cut" and self.command == "HEAD":
            self.close_connection = True
        elif illness == "cut":
            self._answer(200, b"half", length=1_000)
        elif illness:
            status, code = ANSWERS[illness]
            self._answer(status, f"<Error><Code>{code}</Code><Message>told</Message></Error>".encode())
        elif not key:
            self._answer(200, _listing(self.server, query.get("prefix", [""])[0]))
        elif self.command == "PUT":
            objects[key] = data
            self.server.changed[key] = time.time()
            self._answer(200)
        elif self.command == "DELETE":
            objects.pop(key, None)
            self._answer(204)
        elif key in objects:
            self._answer(200, objects[key])
        else:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    do_GET = do_HEAD = do_PUT = do_DELETE = _serve  # noqa: N815  # http.server's names

    def log_message(self, *_: object) -> None:
        pass


def _listing(s3: S3, prefix: str) -> bytes:
    rest = {key.removeprefix(prefix): data for key, data in s3.objects.items() if key.startswith(prefix)}

    def file(name: str, data: bytes) -> str:
        changed = datetime.fromtimestamp(s3.changed.get(prefix + name, 0), UTC).isoformat()
        tag = hashlib.sha256(data).hexdigest()
        about = f"<Size>{len(data)}</Size><LastModified>{changed}</LastModified><ETag>{tag}</ETag>"
        return f"<Contents><Key>{quote(prefix + name)}</Key>{about}</Contents>"

    files = (file(name, data) for name, data in rest.items() if "/" not in name)
    folders = {name.partition("/")[0] for name in rest if "/" in name}
    below = (f"<CommonPrefixes><Prefix>{quote(prefix + name)}/</Prefix></CommonPrefixes>" for name in folders)
    inside = "".join([*files, *below])
    return f"<ListBucketResult><EncodingType>url</EncodingType>{inside}</ListBucketResult>".encode()
