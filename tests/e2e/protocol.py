"""The outside of the server: versions, capabilities, CORS, unknown paths, bad input."""

import gzip
import json
import socket

from harness import Server, check, in_parallel, ok, quote, refused, same, unique

V3 = "/_matrix/client/v3/"
SMOKE = ["test_versions", "test_bad_json"]


def test_versions(server):
    r = ok(server.call("GET", "/_matrix/client/versions"))
    for v in ("v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.11", "r0.6.1"):
        check(v in r["versions"], f"{v} is advertised")
    ok(server.register().call("GET", "/_matrix/client/versions"))


def test_well_known(server):
    r = ok(server.call("GET", "/.well-known/matrix/client"))
    check(r["m.homeserver"]["base_url"].startswith("http"))


def test_capabilities(server):
    c = server.register().get("capabilities")["capabilities"]
    same(c["m.change_password"]["enabled"], True)
    check(set(c["m.room_versions"]["available"]) >= {"10", "11", "12"})
    refused(server.call("GET", V3 + "capabilities"), 401, "M_MISSING_TOKEN")


def test_turn_server_and_third_party_networks(server):
    u = server.register()
    r = u.call("GET", "voip/turnServer")
    check(r.status in (200, 404), f"{r!r}")
    same(u.get("thirdparty/protocols"), {})


def test_health_and_metrics(server):
    same(server.call("GET", "/health/live").status, 200)
    same(server.call("GET", "/health/ready").status, 200)
    r = server.call("GET", "/metrics")
    check(r.status == 200 and b"# TYPE" in r.body and b"# HELP" in r.body)


def test_cors(server):
    for r in (server.call("GET", "/_matrix/client/versions"), server.call("GET", V3 + "account/whoami"),
              server.call("GET", "/_matrix/client/v3/none"), server.call("POST", V3 + "login", "{bad")):
        same(r.headers.get("access-control-allow-origin"), "*")
    r = server.call("OPTIONS", V3 + "sync", headers={"Origin": "https://app.example", "Access-Control-Request-Method": "GET"})
    check(r.status in (200, 204))
    same(r.headers["access-control-allow-origin"], "*")
    for word in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
        check(word in r.headers["access-control-allow-methods"])
    for word in ("X-Requested-With", "Content-Type", "Authorization"):
        check(word.lower() in r.headers["access-control-allow-headers"].lower())
    check(server.call("OPTIONS", "/_matrix/client/v3/none").status in (200, 204), "a pre-flight needs no known path")


def test_unknown_paths_and_methods(server):
    for path in ("/_matrix/client/v3/nothing", "/_matrix/none", "/_matrix/client/v9/sync", "/_matrix/client/unstable/org.example/x", "/_matrix/"):
        refused(server.call("GET", path), 404, "M_UNRECOGNIZED")
    for method, path in (("PUT", V3 + "sync"), ("DELETE", V3 + "login"), ("GET", V3 + "createRoom"), ("PATCH", V3 + "login")):
        refused(server.call(method, path), 405, "M_UNRECOGNIZED")


def test_r0_aliases(server):
    u = server.register()
    for path in ("account/whoami", "joined_rooms", "pushrules/", "capabilities", "devices", "sync?timeout=0"):
        same(u.call("GET", f"/_matrix/client/r0/{path}").status, 200, path)
    room = ok(u.call("POST", "/_matrix/client/r0/createRoom", {}))["room_id"]
    ok(u.call("PUT", f"/_matrix/client/r0/rooms/{quote(room)}/send/m.room.message/{unique()}", {"msgtype": "m.text", "body": "x"}))
    ok(server.call("GET", "/_matrix/client/r0/login"))


def posts(u, room):
    """Requests that take a body, by method and path."""
    return [("POST", V3 + "createRoom"), ("POST", V3 + "login"), ("POST", V3 + "register"), ("POST", V3 + "keys/upload"),
            ("POST", V3 + "search"), ("POST", V3 + "pushers/set"), ("POST", f"{V3}user/{quote(u.id)}/filter"),
            ("PUT", f"{V3}rooms/{quote(room)}/send/m.room.message/{unique()}"), ("PUT", f"{V3}rooms/{quote(room)}/state/org.example.s/k"),
            ("PUT", f"{V3}profile/{quote(u.id)}/displayname"), ("POST", V3 + "keys/query"), ("PUT", f"{V3}sendToDevice/x/{unique()}"),
            ("PUT", f"{V3}user/{quote(u.id)}/account_data/org.example.a"), ("POST", f"{V3}rooms/{quote(room)}/invite")]


def test_bad_json(server):
    u = server.register()
    room = u.create_room()
    for method, path in posts(u, room):
        for body in (b"{", b"{]", b"nonsense", b'{"a":}', b'{"a":1,}', b'{"a":1} x', b"{'a':1}", b'{"a":"\x01"}', b"\xff\xfe", b'{"a":"\xc3("}',
                     b'{"a":"\xed\xa0\x80"}', b'{"a":"\xf5\x80\x80\x80"}'):
            r = u.call(method, path, body)
            refused(r, 400, ("M_NOT_JSON", "M_BAD_JSON"))
        for body in (b"[]", b"5", b'"x"', b"null", b"true"):
            refused(u.call(method, path, body), 400, ("M_BAD_JSON", "M_NOT_JSON"))


def test_wrong_types(server):
    u = server.register()
    room = u.create_room()
    table = [("POST", "createRoom", {"name": []}), ("POST", "createRoom", {"invite": {}}), ("POST", "createRoom", {"is_direct": "yes"}),
             ("POST", "login", {"type": 5}), ("POST", "login", {"type": "m.login.password", "identifier": [], "password": "x"}),
             ("POST", "login", {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": 5}, "password": "x"}),
             ("POST", "login", {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": u.id}, "password": 5}),
             ("POST", "register", {"username": 5, "auth": {"type": "m.login.dummy"}}), ("POST", "register", {"auth": "x"}),
             ("POST", f"rooms/{quote(room)}/invite", {"user_id": []}), ("POST", f"rooms/{quote(room)}/kick", {"user_id": 5}),
             ("POST", "keys/query", {"device_keys": []}), ("POST", "keys/claim", {"one_time_keys": []}),
             ("POST", "user_directory/search", {"search_term": 5}), ("POST", "publicRooms", {"limit": "x"}),
             ("PUT", f"rooms/{quote(room)}/typing/{quote(u.id)}", {"typing": 1}), ("POST", "pushers/set", {"kind": 5}),
             ("POST", f"rooms/{quote(room)}/read_markers", {"m.fully_read": 5}), ("PUT", f"presence/{quote(u.id)}/status", {"presence": 5}),
             ("POST", "delete_devices", {"devices": "x"}), ("POST", "account/password", {"new_password": 5})]
    for method, path, body in table:
        r = u.call(method, path, body)
        check(400 <= r.status < 500 and (r.status != 404), f"{method} {path} {body}: {r!r}")
        check("errcode" in r.json or r.status == 401)


def test_deep_and_huge_bodies(server):
    u = server.register()
    room = u.create_room()
    deep = '{"a":' * 20000 + "1" + "}" * 20000
    r = u.call("PUT", f"rooms/{quote(room)}/send/org.example.deep/{unique()}", deep)
    check(r.status in (400, 413), f"{r!r}")
    r = u.call("PUT", f"rooms/{quote(room)}/send/org.example.deep/{unique()}", '{"a":' + "[" * 100000 + "]" * 100000 + "}")
    check(r.status in (400, 413), f"{r!r}")
    r = u.call("PUT", f"user/{quote(u.id)}/account_data/org.example.big", {"x": "y" * 40_000_000})
    refused(r, 413, "M_TOO_LARGE")
    u.get("account/whoami")


def test_odd_ids_in_paths(server):
    u = server.register()
    for room in ("!", "x", "!a", "!" + "x" * 300 + ":localhost", "%00", "!%ff:localhost", "..", "!a:localhost%2Fx"):
        r = u.call("GET", f"rooms/{room}/state")
        check(r.status in (400, 403, 404), f"{room}: {r!r}")
    for user in ("@", "x", "@:", "@a", "@" + "x" * 300 + ":localhost", "@a:b:c:d", "%ff"):
        r = u.call("GET", f"profile/{user}")
        check(r.status in (400, 403, 404), f"{user}: {r!r}")


def raw(server, data, read=True):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        out = b""
        while read:
            try:
                part = s.recv(65536)
            except ConnectionResetError:
                break
            if not part:
                break
            out += part
        return out


def test_broken_http(server):
    for data in (b"nonsense\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                 b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
                 b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"\x00" * 100, b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
                 b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20000 + b"\r\n"):
        raw(server, data)
    same(server.call("GET", "/health/live").status, 200)


def test_pipelining_and_keep_alive(server):
    one = b"GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\n\r\n"
    out = raw(server, one * 5)
    same(out.count(b"HTTP/1.1 200"), 5)


def test_chunked_and_gzip(server):
    body = b'{"type":"m.login.nothing"}'
    out = raw(server, b"POST /_matrix/client/v3/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n"
              + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
    check(out.startswith(b"HTTP/1.1 400") and b"errcode" in out, out[:200])
    u = server.register()
    r = u.call("GET", "pushrules/", headers={"Accept-Encoding": "gzip"})
    if r.headers.get("content-encoding") == "gzip":
        check(json.loads(gzip.decompress(r.body))["global"])
    else:
        check(r.json["global"])


def test_a_missing_content_type_is_fine(server):
    u = server.register()
    r = u.call("POST", "createRoom", b"{}", headers={"Content-Type": "text/plain"})
    same(r.status, 200)


def test_admin_paths_are_for_admins(server):
    u, v = server.users(2)
    for path in (f"/_matrix/client/v1/admin/suspend/{quote(v.id)}", f"/_matrix/client/v1/admin/lock/{quote(v.id)}"):
        refused(u.call("GET", path), 403, "M_FORBIDDEN")
    r = u.call("GET", f"/_matrix/client/v3/admin/whois/{quote(u.id)}")
    check(r.status == 200 or r.status == 403, f"{r!r}")
    refused(u.call("GET", f"/_matrix/client/v3/admin/whois/{quote(v.id)}"), 403, "M_FORBIDDEN")


def test_sso_and_oauth_are_absent_or_answer(server):
    r = server.call("GET", "/_matrix/client/v1/auth_metadata")
    if r.status != 200:
        refused(r, 404, "M_UNRECOGNIZED")


def test_many_clients_at_once(server):
    users = server.users(8)
    room = users[0].create_room(preset="public_chat")
    in_parallel([lambda u=u: u.join(room) for u in users])
    sent = in_parallel([lambda u=u: [u.send(room, "x") for _ in range(10)] for u in users])
    everything = [e for part in sent for e in part]
    same(len(set(everything)), 80)
    got = [e["event_id"] for e in users[0].messages(room, dir="b", limit=200)["chunk"] if e["type"] == "m.room.message"]
    same(set(got), set(everything))


def test_restart_keeps_everything(server):
    with Server() as own:
        u, v = own.users(2)
        room = u.create_room(preset="public_chat", name="Kept")
        v.join(room)
        v.sync()
        first = u.send(room, "before", txn="t")
        v.put(f"sendToDevice/org.example.t/{unique()}", {"messages": {u.id: {u.device: {"n": 1}}}})
        own.stop()
        own.http.close()
        own.start()
        same(u.send(room, "before", txn="t"), first, "the transaction is remembered")
        u.send(room, "after")
        same([e["content"]["body"] for e in v.sync()["rooms"]["join"][room]["timeline"]["events"]], ["before", "after"])
        same([m["content"] for m in u.sync()["to_device"]["events"]], [{"n": 1}])


def test_a_wrong_configuration_is_named(server):
    import subprocess
    import tempfile
    from harness import BINARY, free_port
    with tempfile.TemporaryDirectory() as d:
        for text, word in (("nonsense_key = 1\n", "nonsense_key"), ("[registration\n", "c.toml:1"), ("[media]\nupload_bytes_max = 'x'\n", "upload_bytes_max")):
            path = f"{d}/c.toml"
            open(path, "w").write(text)
            r = subprocess.run([BINARY, "serve", "--data", f"{d}/data", "--listen", f"127.0.0.1:{free_port()}", "--server-name", "localhost",
                                "--config", path], capture_output=True, timeout=20, text=True)
            check(r.returncode != 0, f"accepted {text!r}")
            check(word in r.stderr + r.stdout, f"{text!r} is not named: {r.stderr[:300]}")
