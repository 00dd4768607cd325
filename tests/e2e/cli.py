"""The command line beside `serve`."""

import subprocess
import tempfile

from harness import BINARY, Server, check, ok, refused, same

ALONE = ["test_users_are_made_by_command"]


def run(*args, text=None):
    return subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=60, input=text)


def test_help_and_version(server):
    r = run("version")
    check(r.returncode == 0 and any(c.isdigit() for c in r.stdout))
    for args in (["--help"], ["serve", "--help"], ["user", "--help"], ["user", "add", "--help"], ["bench", "--help"]):
        r = run(*args)
        check(r.returncode == 0 and len(r.stdout) > 50, f"{args}: {r}")
    for args in ([], ["nonsense"], ["serve", "--nonsense"]):
        r = run(*args)
        check(r.returncode != 0, f"{args} is accepted")


def test_users_are_made_by_command(server):
    with tempfile.TemporaryDirectory() as d:
        own = Server(data=d)
        where = ["--data", d, "--server-name", "localhost", *own.prepare()]
        r = run("user", "add", *where, "carol", "--password", "pass-word-9")
        check(r.returncode == 0, f"{r}")
        with own:
            body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "carol"}, "password": "pass-word-9"}
            same(ok(own.call("POST", "/_matrix/client/v3/login", body))["user_id"], "@carol:localhost")
            body["password"] = "other"
            refused(own.call("POST", "/_matrix/client/v3/login", body), 403, "M_FORBIDDEN")
        r = run("user", "list", *where)
        check(r.returncode == 0 and "carol" in r.stdout, f"{r}")
