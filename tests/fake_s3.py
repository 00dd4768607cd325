#!/usr/bin/env python3
"""A small S3 server for tests: path-style, in memory, and it checks every signature by itself.

  fake_s3.py [--port N] [--bucket NAME] [--tls FILE]    prints its port, serves until its standard input ends

With --tls it speaks TLS under a certificate that it makes and writes to FILE.

What goes wrong is ordered over HTTP, without a signature:
  POST /_control {"faults": [{"match": "PUT ", "times": 2, "do": "500"}]}
  GET  /_control   {"objects": {key: bytes}, "uploads": [...], "requests": [...], "refused": n}

`match` is part of "METHOD path?query". `do` is a status (answered with an XML error), "drop" (the
connection ends without an answer), "cut" (the answer ends in its midst), "flip" (one byte of the
body is another), "slow:SECONDS" (the answer comes late), "lose" (carried out, then the connection ends).
"""

import argparse
import hashlib
import hmac
import http.server
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
from datetime import datetime, timezone

ACCESS_KEY, SECRET_KEY, REGION = "test-access", "test-secret/with+signs", "eu-test-1"
SKEW_SECONDS = 900


def sign(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def encoded(text: str) -> str:
    return urllib.parse.quote(text, safe="-_.~")


def signature_error(method: str, target: str, headers, body: bytes) -> str:
    """Why the request is not signed as AWS Signature Version 4 says; empty when it is."""
    m = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})",
                     headers.get("Authorization", ""))
    if not m:
        return "no signature"
    access, day, region, service, end = m[1].split("/")
    if (access, region, service, end) != (ACCESS_KEY, REGION, "s3", "aws4_request"):
        return f"unexpected credential scope {m[1]}"
    date = headers.get("X-Amz-Date", "")
    try:
        sent = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return f"no date: {date!r}"
    if abs(time.time() - sent) > SKEW_SECONDS or date[:8] != day:
        return f"the date {date} is not now"
    stated = headers.get("X-Amz-Content-Sha256", "")
    if stated != hashlib.sha256(body).hexdigest():
        return f"x-amz-content-sha256 is not the body's: {stated!r}"
    names = m[2].split(";")
    if names != sorted(names) or not {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names):
        return f"signed headers are {names}"
    path, _, query = target.partition("?")
    pairs = sorted((encoded(k), encoded(v)) for k, v in urllib.parse.parse_qsl(query, keep_blank_values=True))
    canonical = "\n".join([
        method, "/".join(encoded(urllib.parse.unquote(part)) for part in path.split("/")),
        "&".join(f"{k}={v}" for k, v in pairs),
        "".join(f"{n}:{' '.join(headers.get(n, '').split())}\n" for n in names), m[2], stated])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", date, f"{day}/{region}/{service}/{end}",
                         hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + SECRET_KEY).encode()
    for part in (day, region, service, end):
        key = sign(key, part)
    expected = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    return "" if hmac.compare_digest(expected, m[3]) else f"signature differs; canonical request:\n{canonical}"


class Store:
    def __init__(self, bucket: str):
        self.bucket, self.lock = bucket, threading.Lock()
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, dict] = {}
        self.faults: list[dict] = []
        self.requests: list[str] = []
        self.refused, self.why, self.number = 0, "", 0

    def fault(self, what: str) -> str:
        with self.lock:
            self.requests.append(what)
            for f in self.faults:
                if f.get("times", 1) > 0 and f["match"] in what:
                    f["times"] = f.get("times", 1) - 1
                    return str(f["do"])
        return ""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: Store

    def log_message(self, *_):
        pass

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding"):
            raise ValueError("chunked uploads are not S3's")
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status: int, body: bytes = b"", headers=(), cut: bool = False):
        self.send_response(status)
        for k, v in headers:
            self.send_header(k, v)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:len(body) // 2] if cut else body)
        if cut:
            self.drop()

    def error(self, status: int, code: str, message: str = ""):
        text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        self.answer(status, text.encode(), [("Content-Type", "application/xml")])

    def drop(self):
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def control(self):
        s = self.store
        with s.lock:
            if self.command == "POST":
                order = json.loads(self.body() or b"{}")
                s.faults = order.get("faults", s.faults)
                if order.get("forget"):
                    s.requests.clear()
                for key in order.get("damage", []):
                    s.objects[key] = bytes([s.objects[key][0] ^ 1]) + s.objects[key][1:]
            state = {"objects": {k: len(v) for k, v in s.objects.items()}, "uploads": list(s.uploads),
                     "requests": s.requests, "refused": s.refused, "why": s.why}
        self.answer(200, json.dumps(state).encode())

    def serve(self):
        try:
            self.serve_one()
        except OSError:
            self.close_connection = True  # the client had enough

    def serve_one(self):
        if self.path == "/_control":
            return self.control()
        s = self.store
        body = self.body()
        do = s.fault(f"{self.command} {self.path}")
        if do == "drop":
            return self.drop()
        if do.startswith("slow:"):
            time.sleep(float(do[5:]))
        why = signature_error(self.command, self.path, self.headers, body)
        if why:
            s.refused, s.why = s.refused + 1, why
            return self.error(403, "SignatureDoesNotMatch", "see the server's why")
        if do.isdigit():
            return self.error(int(do), {"503": "SlowDown", "500": "InternalError"}.get(do, "AccessDenied"))
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        _, bucket, *key = urllib.parse.unquote(url.path).split("/", 2)
        if bucket != s.bucket:
            return self.error(404, "NoSuchBucket")
        with s.lock:
            status, out, headers = self.carry_out(s, key[0] if key else "", query, body)
        if do == "lose":
            return self.drop()
        if do == "flip" and out:
            out = bytes([out[0] ^ 1]) + out[1:]
        self.answer(status, out, headers, cut=do == "cut")

    def carry_out(self, s: Store, key: str, query: dict, body: bytes):
        def xml_error(status, code):
            return status, f"<Error><Code>{code}</Code></Error>".encode(), []
        if self.command == "POST" and "uploads" in query:
            s.number += 1
            upload = f"upload/{s.number}+="
            s.uploads[upload] = {"key": key, "parts": {}}
            return 200, (f"<InitiateMultipartUploadResult><Bucket>{s.bucket}</Bucket><Key>{key}</Key>"
                         f"<UploadId>{upload}</UploadId></InitiateMultipartUploadResult>").encode(), []
        if self.command == "GET" and "uploads" in query:
            found = "".join(f"<Upload><Key>{u['key']}</Key><UploadId>{i}</UploadId></Upload>"
                            for i, u in s.uploads.items() if u["key"].startswith(query.get("prefix", "")))
            return 200, f"<ListMultipartUploadsResult>{found}</ListMultipartUploadsResult>".encode(), []
        if "uploadId" in query:
            upload = s.uploads.get(query["uploadId"])
            if not upload or upload["key"] != key:
                return xml_error(404, "NoSuchUpload")
            if self.command == "PUT":
                etag = f'"{hashlib.md5(body).hexdigest()}"'
                upload["parts"][int(query["partNumber"])] = (etag, body)
                return 200, b"", [("ETag", etag)]
            if self.command == "POST":
                parts = re.findall(r"<Part><PartNumber>(\d+)</PartNumber><ETag>([^<]+)</ETag></Part>", body.decode())
                named = [(int(n), e.replace("&quot;", '"')) for n, e in parts]
                if [n for n, _ in named] != list(range(1, len(upload["parts"]) + 1)) or \
                        any(upload["parts"][n][0] != e for n, e in named):
                    return xml_error(400, "InvalidPart")
                s.objects[key] = b"".join(upload["parts"][n][1] for n, _ in named)
                del s.uploads[query["uploadId"]]
                return 200, b"<CompleteMultipartUploadResult/>", []
            if self.command == "DELETE":
                del s.uploads[query["uploadId"]]
                return 204, b"", []
        if self.command == "PUT":
            s.objects[key] = body
            return 200, b"", [("ETag", f'"{hashlib.md5(body).hexdigest()}"')]
        if self.command == "DELETE":
            s.objects.pop(key, None)
            return 204, b"", []
        if self.command in ("GET", "HEAD"):
            if key not in s.objects:
                return xml_error(404, "NoSuchKey")
            data = s.objects[key]
            m = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if not m:
                return 200, data, []
            first, last = int(m[1]), min(int(m[2]), len(data) - 1)
            if first >= len(data):
                return xml_error(416, "InvalidRange")
            return 206, data[first:last + 1], [("Content-Range", f"bytes {first}-{last}/{len(data)}")]
        return xml_error(405, "MethodNotAllowed")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = serve


class FakeS3:
    """`with FakeS3() as s3:` serves in a thread of this process; see also s3.store."""

    def __init__(self, port: int = 0, bucket: str = "media", tls: str = ""):
        self.store = Store(bucket)
        handler = type("BoundHandler", (Handler,), {"store": self.store})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        if tls:
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                            "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tls + ".key",
                            "-out", tls], check=True, capture_output=True)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls, tls + ".key")
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)

    def __enter__(self) -> "FakeS3":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--bucket", default="media")
    parser.add_argument("--tls", default="")
    args = parser.parse_args()
    with FakeS3(args.port, args.bucket, args.tls) as s3:
        print(s3.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
