"""Administrators, guests and the ways to register other than the open one; the command line against a running node."""

import hashlib
import hmac
import subprocess
import tempfile
from pathlib import Path

from harness import BINARY, Server, check, eventually, ok, quote, refused, same

V3 = "/_matrix/client/v3/"
ADMIN = "/_matrix/client/v1/admin/"
ONE_NODE = ["test_administration_with_and_without_a_node"]  # a nonce is its node's
ALONE = ["test_administration_with_and_without_a_node"]
CHEAP = "[password]\nmemory_mib = 1\npasses = 1\n"


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def log_in(server, user, password):
    return server.call("POST", V3 + "login", {"type": "m.login.password", "password": password,
                                              "identifier": {"type": "m.id.user", "user": user}})


def test_only_administrators_lock_suspend_and_ask(server):
    u, other = server.users(2)
    for method, body in (("GET", None), ("PUT", {"locked": True})):
        refused(u.call(method, f"{ADMIN}lock/{quote(other.id)}", body), 403, "M_FORBIDDEN")
    refused(u.call("PUT", f"{ADMIN}suspend/{quote(other.id)}", {"suspended": True}), 403, "M_FORBIDDEN")
    refused(u.call("GET", f"admin/whois/{quote(other.id)}"), 403, "M_FORBIDDEN")
    check(u.device in u.get(f"admin/whois/{quote(u.id)}")["devices"], "everybody may ask about themselves")
    r = server.call("GET", "/_haechi/v1/admin/users")
    same(r.status, 401)
    check("application/problem+json" in r.headers.get("content-type", ""), f"{r.headers}")
    same(u.call("GET", "/_haechi/v1/admin/users").status, 403)


def shared_secret_body(server, secret, user, password, admin):
    nonce = ok(server.call("GET", "/_synapse/admin/v1/register"))["nonce"]
    mac = hmac.new(secret, b"\0".join([nonce.encode(), user.encode(), password.encode(), b"admin" if admin else b"notadmin"]), hashlib.sha1)
    return {"nonce": nonce, "username": user, "password": password, "admin": admin, "mac": mac.hexdigest()}


def locks_and_suspends(s, admin, kim):
    h, path = bearer(admin), quote("@kim:localhost")
    same(ok(s.call("PUT", f"{ADMIN}suspend/{path}", {"suspended": True}, headers=h)), {"suspended": True})
    same(ok(s.call("GET", f"{ADMIN}suspend/{path}", headers=h)), {"suspended": True})
    refused(s.call("PUT", f"{V3}profile/{path}/displayname", {"displayname": "x"}, headers=bearer(kim)), 403, "M_USER_SUSPENDED")
    ok(s.call("GET", V3 + "sync", headers=bearer(kim)))
    ok(s.call("PUT", f"{ADMIN}suspend/{path}", {"suspended": False}, headers=h))

    ok(s.call("PUT", f"{ADMIN}lock/{path}", {"locked": True}, headers=h))
    same(refused(s.call("GET", V3 + "account/whoami", headers=bearer(kim)), 401, "M_USER_LOCKED")["soft_logout"], True)
    refused(log_in(s, "kim", "kim-pass-1"), 401, "M_USER_LOCKED")
    ok(s.call("PUT", f"{ADMIN}lock/{path}", {"locked": False}, headers=h))
    ok(s.call("GET", V3 + "account/whoami", headers=bearer(kim)))

    refused(s.call("PUT", f"{ADMIN}lock/{quote('@boss:localhost')}", {"locked": True}, headers=h), 403, "M_FORBIDDEN")
    refused(s.call("PUT", f"{ADMIN}lock/{quote('@nobody:localhost')}", {"locked": True}, headers=h), 404, "M_NOT_FOUND")
    refused(s.call("PUT", f"{ADMIN}lock/{quote('@u:elsewhere.example')}", {"locked": True}, headers=h), 400, "M_INVALID_PARAM")
    refused(s.call("PUT", f"{ADMIN}lock/{path}", {}, headers=h), 400)


def registers_by_secret(s):
    path = "/_synapse/admin/v1/register"
    body = shared_secret_body(s, b"s3cret", "script", "script-pass", True)
    same(ok(s.call("POST", path, body))["user_id"], "@script:localhost")
    refused(s.call("POST", path, body), 400)  # the nonce is spent
    body = shared_secret_body(s, b"wrong", "script2", "script-pass", False)
    refused(s.call("POST", path, body), 403, "M_FORBIDDEN")


def registers_by_token(s, token):
    stage = "m.login.registration_token"
    validity = "/_matrix/client/v1/register/m.login.registration_token/validity"
    same(ok(s.call("GET", validity, query={"token": token})), {"valid": True})
    same(ok(s.call("GET", validity, query={"token": "nonsense"})), {"valid": False})
    body = {"username": "invited", "password": "invited-1"}
    r = s.call("POST", V3 + "register", body)
    same([f["stages"] for f in r.json["flows"]], [[stage]])
    auth = {"type": stage, "session": r.json["session"]}
    wrong = s.call("POST", V3 + "register", {**body, "auth": {**auth, "token": "nonsense"}})
    same((wrong.status, wrong.json["session"]), (401, r.json["session"]))
    ok(s.call("POST", V3 + "register", {**body, "auth": {**auth, "token": token}}))
    same(ok(s.call("GET", validity, query={"token": token})), {"valid": False})


def guests_look_but_change_little(s):
    guest = bearer(ok(s.call("POST", V3 + "register", {}, query={"kind": "guest"}))["access_token"])
    same(ok(s.call("GET", V3 + "account/whoami", headers=guest))["is_guest"], True)
    refused(s.call("POST", V3 + "account/password", {"new_password": "x-1234567"}, headers=guest), 403, "M_GUEST_ACCESS_FORBIDDEN")


def test_administration_with_and_without_a_node(server):
    with tempfile.TemporaryDirectory() as d:
        secret = Path(d) / "secret"
        secret.write_text("s3cret\n")
        secret.chmod(0o600)
        config = CHEAP + f'[registration]\nmode = "token"\nguest_access = true\nshared_secret_file = "{secret}"\n'
        data = d + "/data"
        own = Server(data=data, config=config, flags=("--no-rate-limits",))
        where = ["--data", data, "--server-name", "localhost", *own.prepare()]

        def user(*args, code=0, text=None):
            r = subprocess.run([BINARY, "user", *args, *where],
                               capture_output=True, text=True, timeout=60, input=text)
            same(r.returncode, code, f"exit code of {args}: {r}")
            check(code == 0 or len(r.stderr.splitlines()) == 1, f"an error is one line: {r}")
            return r.stdout.strip()

        same(user("add", "boss", "--admin", "--password", "boss-pass-1"), "@boss:localhost")
        check("password: " in user("add", "lee"), "a generated password is printed")
        user("passwd", "lee", "--password-file", "-", text="lee-pass-1\n")
        user("add", "lee", "--password", "x", code=1)
        user("add", "Not Valid", "--password", "x", code=1)
        user("passwd", "nobody", "--password", "x", code=1)
        with own as s:
            same(Path(data, "node.json").stat().st_mode & 0o777, 0o600)
            user("add", "kim", "--password", "kim-pass-0")
            user("passwd", "@kim:localhost", "--password", "kim-pass-1")
            user("add", "kim", "--password", "x", code=1)
            same(user("list").splitlines(), ["@boss:localhost admin", "@lee:localhost", "@kim:localhost"])
            ok(log_in(s, "lee", "lee-pass-1"))
            admin = ok(log_in(s, "boss", "boss-pass-1"))["access_token"]
            kim = ok(log_in(s, "kim", "kim-pass-1"))["access_token"]
            locks_and_suspends(s, admin, kim)
            registers_by_secret(s)
            registers_by_token(s, user("token", "--uses", "1"))
            guests_look_but_change_little(s)
            room = ok(s.call("POST", V3 + "createRoom", {"preset": "public_chat"}, headers=bearer(admin)))["room_id"]
            for token in (kim, ok(log_in(s, "lee", "lee-pass-1"))["access_token"]):
                ok(s.call("POST", V3 + "join/" + quote(room), {}, headers=bearer(token)))
            user("deactivate", "kim", "--erase")
            member = f"{V3}rooms/{quote(room)}/state/m.room.member/"
            eventually(lambda: ok(s.call("GET", member + quote("@kim:localhost"), headers=bearer(admin)))["membership"] == "leave",
                       "who is deactivated through the node leaves")
            same(ok(s.call("GET", f"{V3}profile/{quote('@kim:localhost')}")), {})
        user("deactivate", "lee")
        with Server(data=data, config=config, flags=("--no-rate-limits",)) as s:
            admin = ok(log_in(s, "boss", "boss-pass-1"))["access_token"]
            eventually(lambda: ok(s.call("GET", member + quote("@lee:localhost"), headers=bearer(admin)))["membership"] == "leave",
                       "who was deactivated without a node leaves at its start")
