"""What the whole-system tests stand on: a Haechi server of one's own, and users who speak plain HTTP to it.

Only the standard library. A test function takes a `Server` (shared by all tests of a run) and makes
its own users, so tests can run beside each other. A test that must own its server starts one:

    with Server(config="[registration]\nmode = 'closed'\n") as server: ...

With HAECHI_TEST_POSTGRES (set by tools/private_postgres.py) servers keep their data in a database of that
PostgreSQL; HAECHI_TEST_NODES=N then makes each server N nodes on one database, and every request goes to
another one than the request before.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import http.server
import itertools
import json
import os
import random
import shutil
import signal
import socket
import string
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARY = os.environ.get("HAECHI_BINARY", str(ROOT / "build" / "release" / "haechi"))
SLOW = float(os.environ.get("HAECHI_TEST_SLOW", "1"))  # sanitizer builds stretch every deadline by this

POSTGRES = dict(part.split("=", 1) for part in os.environ.get("HAECHI_TEST_POSTGRES", "").split())
NODES = int(os.environ.get("HAECHI_TEST_NODES", "1")) if POSTGRES else 1

PNG_1X1 = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def quote(text: str) -> str:
    return urllib.parse.quote(text, safe="")


_unique = itertools.count(1)
_run = "".join(random.SystemRandom().choice(string.ascii_lowercase) for _ in range(5))


def unique(prefix: str = "x") -> str:
    """A name that no other test of this run uses."""
    return f"{prefix}{_run}{next(_unique)}"


class Response:
    def __init__(self, status: int, headers: dict[str, str], body: bytes):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            raise AssertionError(f"the answer is not JSON: {self.status} {self.body[:200]!r}") from None

    def __repr__(self):
        return f"{self.status} {self.body[:600].decode('utf-8', 'replace')}"


class Unreachable(Exception):
    """The server did not answer at all; whether the request had an effect is unknown."""


class Http:
    """A client of one server. Keeps one connection per thread and node; takes the nodes in turn."""

    def __init__(self, ports: int | list[int], timeout: float = 60):
        self.ports = ports if isinstance(ports, list) else [ports]
        self.timeout, self.local = timeout * max(1, SLOW), threading.local()

    def _connections(self) -> dict:
        if not hasattr(self.local, "connections"):
            self.local.connections, self.local.turn = {}, random.randrange(len(self.ports))
        return self.local.connections

    def close(self):
        for connection in self._connections().values():
            connection.close()
        self.local.connections = {}

    def request(self, method: str, path: str, body=None, headers=None, query=None) -> Response:
        if query:
            path += ("&" if "?" in path else "?") + urllib.parse.urlencode(
                {k: v for k, v in query.items() if v is not None}, doseq=True)
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode("utf-8", "surrogatepass")
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        connections = self._connections()
        self.local.turn += 1
        port = self.ports[self.local.turn % len(self.ports)]
        for attempt in (0, 1):
            connection = connections.get(port)
            fresh = connection is None
            if fresh:
                connection = connections[port] = http.client.HTTPConnection("127.0.0.1", port, timeout=self.timeout)
            try:
                connection.request(method, path, body=body, headers=headers)
                raw = connection.getresponse()
                data = raw.read()
                if raw.will_close:
                    connections.pop(port).close()
                return Response(raw.status, {k.lower(): v for k, v in raw.getheaders()}, data)
            except (OSError, http.client.HTTPException) as e:
                connections.pop(port).close()
                # A kept connection may have been closed by the server meanwhile: once more on a new one.
                stale = not fresh and isinstance(e, (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError))
                if attempt or not stale:
                    raise Unreachable(f"{method} {path}: {e!r}") from e
        raise AssertionError("not reached")


class Store:
    """A database of its own in the tests' PostgreSQL."""

    def __init__(self, name: str):
        self.name = name

    def _ask(self, sql: str) -> str:
        return subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", os.environ["HAECHI_TEST_POSTGRES"], "-c", sql],
                              check=True, capture_output=True, text=True).stdout.strip()

    def create(self):
        if not self._ask(f"SELECT 1 FROM pg_database WHERE datname = '{self.name}'"):
            self._ask(f"CREATE DATABASE {self.name}")

    def drop(self):
        self._ask(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")

    def config(self) -> str:
        return (f'[store]\nengine = "postgresql"\nhosts = ["{POSTGRES["host"]}:{POSTGRES["port"]}"]\n'
                f'database = "{self.name}"\nuser = "{POSTGRES["user"]}"\n')


class Server:
    """A haechi process (several with HAECHI_TEST_NODES) with its own data and port. `with Server() as s:` or start()/stop()."""

    def __init__(self, config: str = "", flags=("--open-registration", "--no-rate-limits"), data: str | None = None,
                 port: int = 0, name: str = "localhost", nodes: int = NODES):
        self.name, self.config, self.flags = name, config, list(flags)
        self.own_data = data is None
        self.data = data or tempfile.mkdtemp(prefix="haechi-e2e-")
        self.port = port or free_port()
        self.process: subprocess.Popen | None = None  # the first node
        self.others: list[subprocess.Popen] = []
        self.ports = [self.port] + [free_port() for _ in range(nodes - 1)]
        self.log_path = Path(self.data).with_name(Path(self.data).name + ".log")
        self.http = Http(self.ports)
        # The same folder finds its database again.
        self.store = Store("t" + hashlib.sha1(self.data.encode()).hexdigest()[:16]) if POSTGRES else None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self, index: int) -> list[str]:
        data = self.data if index == 0 else f"{self.data}/node{index}"
        command = [BINARY, "serve", "--data", data, "--listen", f"127.0.0.1:{self.ports[index]}",
                   "--server-name", self.name, *self.flags]
        return command + self.prepare()

    def prepare(self) -> list[str]:
        """Makes the database and the configuration file, as far as there are any; gives the flags that name it."""
        if self.store:
            self.store.create()
        # Keys without a table come first in TOML.
        config = self.config + ("\n" + self.store.config() if self.store else "")
        if not config:
            return []
        path = self.log_path.with_suffix(".toml")
        path.write_text(config)
        return ["--config", str(path)]

    def start_node(self, index: int) -> subprocess.Popen:
        with open(self.log_path, "ab") as log:
            return subprocess.Popen(self.command(index), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start(self) -> "Server":
        self.process = self.start_node(0)
        self.others = [self.start_node(i) for i in range(1, len(self.ports))]
        self.wait_ready()
        return self

    def wait_ready(self):
        for port, process in zip(self.ports, [self.process, *self.others]):
            self.wait_for(port, process)

    def wait_for(self, port: int, process: subprocess.Popen):
        deadline = time.monotonic() + 20 * SLOW
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise AssertionError(f"the server ended with {process.returncode}:\n{self.log_tail()}")
            try:
                if Http(port, 2).request("GET", "/health/ready").status == 200:
                    return
            except Unreachable:
                pass
            time.sleep(0.01)
        raise AssertionError(f"the server was not ready in time:\n{self.log_tail()}")

    def kill(self):
        """As `kill -9`: nothing is flushed, nothing said good-bye."""
        for process in self.processes():
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()

    def restart_node(self, index: int):
        """Kills one node and starts it again; the others go on."""
        process = self.processes()[index]
        process.send_signal(signal.SIGKILL)
        process.wait()
        fresh = self.start_node(index)
        if index == 0:
            self.process = fresh
        else:
            self.others[index - 1] = fresh
        self.wait_for(self.ports[index], fresh)

    def processes(self) -> list[subprocess.Popen]:
        return [p for p in [self.process, *self.others] if p]

    def stop(self) -> int:
        for process in self.processes():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes():
            try:
                process.wait(30 * SLOW)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError("the server did not end within 30 s of SIGTERM") from None
        return max((abs(p.returncode) for p in self.processes()), default=0)

    def log_tail(self, lines: int = 40) -> str:
        with contextlib.suppress(OSError):
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        try:
            if self.process and self.process.poll() not in (None, 0):
                raise AssertionError(f"the server died with {self.process.returncode}:\n{self.log_tail()}")
            code = self.stop()
            if kind is None:
                check(code == 0, f"the server ended with {code} after SIGTERM:\n{self.log_tail()}")
        finally:
            self.kill()
            if kind is not None:
                sys.stderr.write(f"--- server log, last lines ---\n{self.log_tail()}\n")
            if self.own_data:
                if self.store:
                    self.store.drop()
                shutil.rmtree(self.data, ignore_errors=True)
                with contextlib.suppress(OSError):
                    self.log_path.unlink()
                    self.log_path.with_suffix(".toml").unlink()

    # Requests without a user.
    def call(self, method, path, body=None, headers=None, query=None) -> Response:
        return self.http.request(method, path, body, headers, query)

    def register(self, name: str | None = None, password: str = "secret-word-1", display: str | None = None,
                 **extra) -> "User":
        name = name or unique("u")
        body = {"username": name, "password": password, "auth": {"type": "m.login.dummy"}, **extra}
        r = ok(self.call("POST", "/_matrix/client/v3/register", body))
        user = User(self, r["user_id"], r["access_token"], r["device_id"], password)
        user.refresh_token = r.get("refresh_token")
        if display:
            user.put(f"profile/{quote(user.id)}/displayname", {"displayname": display})
        return user

    def users(self, count: int) -> list["User"]:
        return [self.register() for _ in range(count)]


class User:
    """One logged-in device. Paths without a leading slash are below /_matrix/client/v3/."""

    def __init__(self, server: Server, user_id: str, token: str, device: str, password: str = ""):
        self.server, self.id, self.token, self.device, self.password = server, user_id, token, device, password
        self.local = user_id[1:].split(":")[0]
        self.since: str | None = None
        self.refresh_token = None

    def login(self, device: str | None = None, **extra) -> "User":
        """The same account on another device."""
        body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": self.id},
                "password": self.password, **extra}
        if device:
            body["device_id"] = device
        r = ok(self.server.call("POST", "/_matrix/client/v3/login", body))
        user = User(self.server, r["user_id"], r["access_token"], r["device_id"], self.password)
        user.refresh_token = r.get("refresh_token")
        return user

    def call(self, method, path, body=None, query=None, headers=None) -> Response:
        if not path.startswith("/"):
            path = "/_matrix/client/v3/" + path
        if body is None and method in ("POST", "PUT"):
            body = {}
        return self.server.http.request(method, path, body, {"Authorization": f"Bearer {self.token}", **(headers or {})}, query)

    # Each expects 200 and gives the JSON body.
    def get(self, path, **query):
        return ok(self.call("GET", path, query=query))

    def post(self, path, body=None, **query):
        return ok(self.call("POST", path, body, query))

    def put(self, path, body=None, **query):
        return ok(self.call("PUT", path, body, query))

    def delete(self, path, body=None):
        return ok(self.call("DELETE", path, body))

    # Rooms.
    def create_room(self, **body) -> str:
        return self.post("createRoom", body)["room_id"]

    def invite(self, room, *users):
        for u in users:
            self.post(f"rooms/{quote(room)}/invite", {"user_id": u.id})

    def join(self, room):
        return self.post(f"join/{quote(room)}")["room_id"]

    def leave(self, room):
        return self.post(f"rooms/{quote(room)}/leave")

    def send(self, room, content="hello", kind="m.room.message", txn=None) -> str:
        return self.put(f"rooms/{quote(room)}/send/{quote(kind)}/{quote(txn or unique('t'))}", message(content))["event_id"]

    def state(self, room, kind, content, key="") -> str:
        return self.put(f"rooms/{quote(room)}/state/{quote(kind)}/{quote(key)}", content)["event_id"]

    def get_state(self, room, kind, key=""):
        return self.get(f"rooms/{quote(room)}/state/{quote(kind)}/{quote(key)}")

    def full_state(self, room) -> dict[tuple[str, str], dict]:
        return {(e["type"], e["state_key"]): e for e in self.get(f"rooms/{quote(room)}/state")}

    def membership(self, room, user=None) -> str | None:
        r = self.call("GET", f"rooms/{quote(room)}/state/m.room.member/{quote((user or self).id)}")
        return r.json["membership"] if r.status == 200 else None

    def messages(self, room, **query):
        query.setdefault("dir", "b")
        return self.get(f"rooms/{quote(room)}/messages", **query)

    def event(self, room, event_id):
        return self.get(f"rooms/{quote(room)}/event/{quote(event_id)}")

    def redact(self, room, event_id, reason=None):
        body = {"reason": reason} if reason else {}
        return self.put(f"rooms/{quote(room)}/redact/{quote(event_id)}/{unique('r')}", body)["event_id"]

    def receipt(self, room, event_id, kind="m.read", thread=None):
        return self.post(f"rooms/{quote(room)}/receipt/{kind}/{quote(event_id)}", {"thread_id": thread} if thread else {})

    # Sync. `sync()` moves this user's own position; `sync(since=...)` does not.
    def sync(self, timeout=0, filter=None, **query) -> dict:
        moves = "since" not in query
        if moves and self.since:
            query["since"] = self.since
        if filter is not None:
            query["filter"] = json.dumps(filter) if isinstance(filter, dict) else filter
        r = self.get("sync", timeout=timeout, **{k: v for k, v in query.items() if v is not None})
        if moves:
            self.since = r["next_batch"]
        return r

    def sync_until(self, predicate, what="what was waited for", filter=None, seconds=10, **query):
        """Syncs on until `predicate(response)` gives something true, and returns that."""
        deadline = time.monotonic() + seconds * SLOW
        last = None
        while time.monotonic() < deadline:
            last = self.sync(timeout=1000 if self.since else 0, filter=filter, **query)
            found = predicate(last)
            if found:
                return found
        raise AssertionError(f"{self.id} never saw {what} in sync; the last answer was {json.dumps(last)[:1500]}")

    def sync_event(self, room, event_id, **kw):
        return self.sync_until(lambda r: find(timeline(r, room), event_id=event_id), f"event {event_id}", **kw)


# ---- JSON shapes -----------------------------------------------------------------------------------

def message(content):
    return {"msgtype": "m.text", "body": content} if isinstance(content, str) else content


def joined(sync, room) -> dict:
    return sync.get("rooms", {}).get("join", {}).get(room, {})


def timeline(sync, room) -> list[dict]:
    rooms = sync.get("rooms", {})
    for part in ("join", "leave"):
        if room in rooms.get(part, {}):
            return rooms[part][room].get("timeline", {}).get("events", [])
    return []


def room_state(sync, room, part="join", key="state") -> list[dict]:
    return sync.get("rooms", {}).get(part, {}).get(room, {}).get(key, {}).get("events", [])


def ephemeral(sync, room, kind=None) -> list[dict]:
    return [e for e in joined(sync, room).get("ephemeral", {}).get("events", []) if kind in (None, e["type"])]


def find(events, **wanted):
    for e in events:
        if all(e.get(k) == v for k, v in wanted.items()):
            return e
    return None


def bodies(events) -> list[str]:
    return [e["content"]["body"] for e in events if e["type"] == "m.room.message" and "body" in e["content"]]


def ids(events) -> list[str]:
    return [e["event_id"] for e in events]


def canonical(value) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def sha256_b64(data: bytes, url_safe=True) -> str:
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    return encode(hashlib.sha256(data).digest()).decode().rstrip("=")


# ---- assertions ------------------------------------------------------------------------------------

def check(condition, why="") -> None:
    if not condition:
        raise AssertionError(why or "a condition does not hold")


def same(actual, expected, what="value") -> None:
    if actual != expected:
        wanted, got = repr(expected), repr(actual)
        raise AssertionError(f"{what}: expected {wanted[:1000]}, got {got[:1000]}")


def ok(response: Response):
    if response.status != 200:
        raise AssertionError(f"expected 200, got {response!r}")
    return response.json


def refused(response: Response, status, errcode=None) -> dict:
    """The answer is this Matrix error. `status` and `errcode` may each be several."""
    statuses = status if isinstance(status, tuple) else (status,)
    codes = errcode if isinstance(errcode, tuple) else (errcode,)
    if response.status not in statuses:
        raise AssertionError(f"expected {status} {errcode or ''}, got {response!r}")
    body = response.json
    check(isinstance(body.get("errcode"), str) and isinstance(body.get("error"), str), f"not a Matrix error: {response!r}")
    if errcode and body["errcode"] not in codes:
        raise AssertionError(f"expected {status} {errcode}, got {response!r}")
    return body


def eventually(function, what="a condition", seconds=10):
    """For what reaches no sync (a directory, a gateway): asks again until true."""
    deadline = time.monotonic() + seconds * SLOW
    while time.monotonic() < deadline:
        value = function()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true within {seconds} s")


def in_parallel(functions):
    """Runs all at once; gives their results in order, raises the first failure."""
    results, failures = [None] * len(functions), []
    barrier = threading.Barrier(len(functions))

    def run(i, f):
        try:
            barrier.wait()
            results[i] = f()
        except BaseException as e:  # handed to the caller's thread
            failures.append(e)

    threads = [threading.Thread(target=run, args=(i, f)) for i, f in enumerate(functions)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise failures[0]
    return results


class Later:
    """Runs f in a thread; `value()` waits for it."""

    def __init__(self, f):
        self.result, self.error = None, None
        self.started = time.monotonic()
        self.seconds = None
        self.thread = threading.Thread(target=self._run, args=(f,), daemon=True)
        self.thread.start()

    def _run(self, f):
        try:
            self.result = f()
        except BaseException as e:  # raised again by value()
            self.error = e
        self.seconds = time.monotonic() - self.started

    def value(self, seconds=60):
        self.thread.join(seconds * SLOW)
        check(not self.thread.is_alive(), "a request did not end in time")
        if self.error:
            raise self.error
        return self.result


class LocalSite:
    """A web server of the test's own (push gateway, pages to preview). `answer(method, path, body)` gives
    (status, headers, bytes)."""

    def __init__(self, answer):
        self.requests: list[tuple[str, str, bytes]] = []
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                site.requests.append((self.command, self.path, body))
                status, headers, data = answer(self.command, self.path, body)
                self.send_response(status)
                for k, v in headers.items():
                    self.send_header(k, v)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_POST = do_HEAD = _serve

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.base = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
