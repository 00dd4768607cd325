#!/usr/bin/env python3
"""A PostgreSQL server of one's own, for tests: on a free port of the loopback, gone when its owner is.

  private_postgres.py run [--no-fsync] -- CMD...   a server for as long as CMD runs; CMD finds it in HAECHI_TEST_POSTGRES
  private_postgres.py start [--no-fsync] DIR       starts one with its data in DIR (made if missing); prints the port
  private_postgres.py stop DIR                     stops it; the data stay, `start` takes them up again

In Python: `with PrivatePostgres() as server: ... server.port, server.conninfo`.
"""

import argparse
import ctypes
import json
import os
import pathlib
import pwd
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ENVIRONMENT = "HAECHI_TEST_POSTGRES"
START_SECONDS = 60
STOP_SECONDS = 20
PORT_ATTEMPTS = 5
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": 200,
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "jit": "off",
    "client_connection_check_interval": "500ms",
    "log_line_prefix": "%m [%p] %a ",
}


class Failed(Exception):
    """Told in one line."""


def binary(name: str) -> str:
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: int(p.parts[-3]))
    if found:
        return str(found[-1])
    on_path = shutil.which(name)
    if on_path:
        return on_path
    raise Failed(f"{name} is missing: apt-get install postgresql")


def owner() -> dict:
    """Whom the server runs as: it refuses root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        except KeyError:
            continue
    raise Failed("there is no user `postgres` or `nobody` to run the server as")


def die_with_parent(signal_number: int) -> None:
    ctypes.CDLL(None).prctl(1, signal_number)  # PR_SET_PDEATHSIG


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """The postmaster as a child of this process."""

    def __init__(self, directory: pathlib.Path, fsync: bool):
        self.directory = directory
        self.data = directory / "data"
        self.log = directory / "log"
        self.fsync = fsync
        self.user = owner()
        self.process = None
        self.port = 0

    def conninfo(self) -> str:
        return f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.user:
            os.chown(self.directory, self.user["user"], self.user["group"])
        if not (self.data / "PG_VERSION").exists():
            self._run(binary("initdb"), "-D", str(self.data), "-U", "postgres", "--auth=trust", "--encoding=UTF8",
                      "--locale=C.UTF-8", "--no-sync", "--no-instructions")
        for _ in range(PORT_ATTEMPTS):  # somebody else may take the port before the server does
            self.port = free_port()
            if self._serve():
                return
        raise Failed(f"the server does not start; its last words: {self._last_words()}")

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, none
            self.process.send_signal(how)
            try:
                self.process.wait(STOP_SECONDS)
                return
            except subprocess.TimeoutExpired:
                continue

    def _serve(self) -> bool:
        settings = dict(SETTINGS, port=self.port, fsync="on" if self.fsync else "off")
        command = [binary("postgres"), "-D", str(self.data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                                            preexec_fn=lambda: die_with_parent(signal.SIGQUIT), **self.user)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return False
            # Says more than an open port: recovery is over, sessions are accepted.
            ready = subprocess.run([binary("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False)
            if ready.returncode == 0:
                return True
            time.sleep(0.05)
        self.stop()
        return False

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, cwd=self.directory, capture_output=True, text=True, check=False, **self.user)
        if done.returncode != 0:
            words = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
            raise Failed(f"{os.path.basename(command[0])}: {words[-1]}")

    def _last_words(self) -> str:
        try:
            return self.log.read_text(errors="replace").strip().splitlines()[-1]
        except (OSError, IndexError):
            return "none"


def keep(directory: str, fsync: bool, remove: bool) -> int:
    """The keeper: a process of its own session that owns the server and outlives whoever asked for it, so
    that the server ends even if that one is killed. It ends when its standard input does, or by SIGTERM."""
    stopped = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopped.append(True))
    server = Server(pathlib.Path(directory), fsync)
    try:
        server.start()
        print(json.dumps({"port": server.port, "pid": server.process.pid}), flush=True)
        owned = remove  # `start` gives the server away; `run` owns it through this pipe
        while not stopped and server.process.poll() is None:
            readable, _, _ = select.select([sys.stdin] if owned else [], [], [], 0.5)
            if readable and not sys.stdin.buffer.read1(1):
                break
        return 0
    except (Failed, OSError) as e:
        print(json.dumps({"error": str(e)}), flush=True)
        return 1
    finally:
        server.stop()
        if remove:
            shutil.rmtree(directory, ignore_errors=True)


def keeper(directory: str, fsync: bool, remove: bool) -> tuple[subprocess.Popen, dict]:
    command = [sys.executable, os.path.abspath(__file__), "keep", directory]
    command += [] if fsync else ["--no-fsync"]
    command += ["--remove"] if remove else []
    process = subprocess.Popen(command, stdin=subprocess.PIPE if remove else subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True, text=True)
    line = process.stdout.readline()
    answer = json.loads(line) if line else {"error": "the keeper of the server died"}
    if "error" in answer:
        process.wait()
        raise Failed(answer["error"])
    return process, answer


class PrivatePostgres:
    """A server in a directory of its own, removed at the end."""

    def __init__(self, fsync: bool = True):
        self.fsync = fsync
        self.port = 0
        self.pid = 0  # of the postmaster
        self.conninfo = ""
        self.directory = ""
        self._keeper = None

    def __enter__(self) -> "PrivatePostgres":
        self.directory = tempfile.mkdtemp(prefix="haechi-postgres-")
        try:
            self._keeper, answer = keeper(self.directory, self.fsync, remove=True)
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        self.port, self.pid = answer["port"], answer["pid"]
        self.conninfo = f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"
        return self

    def __exit__(self, *_) -> None:
        self._keeper.stdin.close()
        self._keeper.wait()


def run(command: list[str], fsync: bool) -> int:
    def ended(*_):
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGHUP, ended)
    with PrivatePostgres(fsync) as server:
        environment = dict(os.environ, **{ENVIRONMENT: server.conninfo})
        try:
            child = subprocess.Popen(command, env=environment, preexec_fn=lambda: die_with_parent(signal.SIGTERM))
        except OSError as e:
            raise Failed(f"{command[0]}: {e.strerror}") from e
        try:
            code = child.wait()
        except BaseException:  # interrupted: the command got the terminal's signal too, or gets one now
            child.terminate()
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
            raise
        return code if code >= 0 else 128 - code


def start(directory: str, fsync: bool) -> int:
    path = pathlib.Path(directory).resolve()
    note = path / "server.json"
    if note.exists() and alive(json.loads(note.read_text())["keeper"]):
        raise Failed(f"a server runs in {directory} already")
    process, answer = keeper(str(path), fsync, remove=False)
    note.write_text(json.dumps({"keeper": process.pid, **answer}))
    print(answer["port"])
    return 0


def stop(directory: str) -> int:
    note = pathlib.Path(directory) / "server.json"
    if not note.exists():
        raise Failed(f"no server was started in {directory}")
    pid = json.loads(note.read_text())["keeper"]
    if alive(pid):
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 3 * STOP_SECONDS
        while alive(pid):
            if time.monotonic() > deadline:
                raise Failed(f"the server in {directory} does not end")
            time.sleep(0.05)
    note.unlink()
    return 0


def alive(pid: int) -> bool:
    """Whether `pid` is a keeper that runs; a number that came round again is not."""
    try:
        line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return os.path.basename(__file__).encode() in line


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="run|start|stop")
    for name in ("run", "start", "stop", "keep"):
        verb = verbs.add_parser(name)
        if name != "stop":
            verb.add_argument("--no-fsync", action="store_true", help="quicker; a crash of the machine loses data")
        if name == "keep":  # how this program starts the process that owns the server
            verb.add_argument("--remove", action="store_true")
        if name == "run":
            verb.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD")
        else:
            verb.add_argument("directory", metavar="DIR")
    args = parser.parse_args()
    if args.verb == "keep":
        return keep(args.directory, not args.no_fsync, args.remove)
    if args.verb == "stop":
        return stop(args.directory)
    if args.verb == "start":
        return start(args.directory, not args.no_fsync)
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        parser.error("run: which command?")
    return run(command, not args.no_fsync)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failure:
        sys.exit(f"private_postgres: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
