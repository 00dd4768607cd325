"""Secrets in the vault, settings in the database: by the command line, and as nodes have them."""

import base64
import hashlib
import hmac
import subprocess
import tempfile
from pathlib import Path

from harness import BINARY, POSTGRES, Server, User, check, ok, refused, same, unique


class Bench:
    """A server that is not started, its settings file, and the commands on it."""

    def __init__(self, folder, config):
        self.folder = Path(folder)
        self.key = self.folder / "key"
        self.server = Server(config=f'server_name = "localhost"\n{config}\n[vault]\nkey_file = "{self.key}"\n', flags=["--no-rate-limits"],
                             data=str(self.folder / "data"), nodes=1)
        if self.server.store:
            self.server.store.create()
        self.server.command(0)  # writes the settings file
        self.config = self.server.log_path.with_suffix(".toml")

    def run(self, *arguments, stdin="", code=0):
        command = [BINARY, *arguments, "--config", str(self.config), "--data", self.server.data]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True)
        same(done.returncode, code, f"the exit of {arguments}: {done.stdout}{done.stderr}")
        if code:
            check(done.stderr.startswith("haechi: ") and done.stderr.count("\n") == 1, f"one line, not {done.stderr!r}")
        return done.stdout + done.stderr

    def close(self):
        if self.server.store:
            self.server.store.drop()


def test_secrets_come_from_the_vault(_server):
    secret = "s3cret-" + unique("x")
    with tempfile.TemporaryDirectory() as folder:
        b = Bench(folder, '[registration]\nmode = "closed"\n[turn]\nuris = ["turn:turn.example.org"]\nshared_secret = "vault:turn"')
        try:
            check("cannot be read" in b.run("vault", "list", code=1))  # no key yet
            check("fingerprint" in b.run("vault", "init"))
            same(b.key.stat().st_mode & 0o777, 0o600)
            check("not overwritten" in b.run("vault", "init", code=1))
            b.run("vault", "delete", "turn", code=1)
            b.run("vault", "set", "bad name", stdin=secret, code=1)
            b.run("vault", "set", "turn", stdin="\n", code=1)
            # A node that needs what is not there says so and ends.
            done = subprocess.run(b.server.command(0), capture_output=True, text=True, timeout=60)
            same(done.returncode, 1)
            check("haechi vault set turn" in done.stderr, done.stderr)
            out = b.run("vault", "set", "turn", stdin=secret + "\n")
            out += b.run("vault", "list")
            check(secret not in out and out.count("turn") == 2, out)

            def credentials():
                with b.server as server:
                    u = admin_made(b, server)
                    r = ok(u.call("GET", "voip/turnServer"))
                    mac = hmac.new(secret.encode(), r["username"].encode(), hashlib.sha1).digest()
                    same(r["password"], base64.b64encode(mac).decode())
                    if not POSTGRES:
                        check("stop it first" in b.run("vault", "list", code=1))
                check(secret not in b.server.log_path.read_text(), "the secret is in the log")
            credentials()
            for path in Path(b.server.data).glob("haechi.db*"):
                check(secret.encode() not in path.read_bytes(), f"the secret is readable in {path.name}")

            # The key changes in steps; a node starts at each of them.
            old = b.run("vault", "fingerprint").split()[0]
            check("1 of 3" in b.run("vault", "rotate-key"))
            credentials()
            check("3 of 3" in b.run("vault", "rotate-key"))
            credentials()
            Path(f"{b.key}.next").replace(b.key)
            check(old not in b.run("vault", "fingerprint") + b.run("vault", "list"))
            credentials()

            # Another key opens nothing, and is told apart by its fingerprint.
            b.key.unlink()
            b.run("vault", "init")
            check("not this node's key" in b.run("vault", "list", code=1))
        finally:
            b.close()


def admin_made(b, server):
    """An account on a server whose registration is closed."""
    name = unique("vault")
    b.run("user", "add", name, "--password", "pass-word-1")
    r = ok(server.call("POST", "/_matrix/client/v3/login", {"type": "m.login.password", "password": "pass-word-1",
                                                            "identifier": {"type": "m.id.user", "user": name}}))
    return User(server, r["user_id"], r["access_token"], r["device_id"])


def test_settings_of_the_database_go_over_the_files(_server):
    with tempfile.TemporaryDirectory() as folder:
        b = Bench(folder, '[registration]\nmode = "closed"')
        b.run("vault", "init")
        try:
            same(b.run("settings", "get", "registration.mode"), '"closed"\n')
            check("expected one of" in b.run("settings", "set", "registration.mode", "everybody", code=1))
            check("no setting" in b.run("settings", "set", "data", "/elsewhere", code=1))
            check("needs registration.shared_secret" in b.run("settings", "set", "registration.mode", "shared_secret", code=1))
            b.run("settings", "unset", "registration.mode", code=1)
            with b.server as server:
                refused(server.call("POST", "/_matrix/client/v3/register", {"username": unique("u"), "password": "pass-word-1"}), 403)
            b.run("settings", "set", "registration.mode", "open")
            b.run("settings", "set", "media.upload_bytes_max", "1000")
            listed = b.run("settings", "list")
            check('registration.mode = "open"  # from the database' in listed, listed)
            with b.server as server:
                u = server.register()
                same(ok(u.call("GET", "/_matrix/client/v1/media/config"))["m.upload.size"], 1000)
            b.run("settings", "unset", "registration.mode")
            with b.server as server:
                refused(server.call("POST", "/_matrix/client/v3/register", {"username": unique("u"), "password": "pass-word-1"}), 403)
        finally:
            b.close()
