"""What end-to-end encryption needs of a server: to-device, keys, device lists, cross-signing, backup."""

import json

from ed25519 import Key
from harness import Later, check, find, in_parallel, joined, ok, quote, refused, same, unique

SMOKE = ["test_to_device_is_delivered_until_acknowledged", "test_a_one_time_key_is_claimed_once", "test_backup"]
ENCRYPTED = [{"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}]


def device_keys(user, n=""):
    return {"user_id": user.id, "device_id": user.device, "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "keys": {f"curve25519:{user.device}": f"curve{n}", f"ed25519:{user.device}": f"ed{n}"},
            "signatures": {user.id: {f"ed25519:{user.device}": "sig"}}}


def one_time(user, *names):
    return {f"signed_curve25519:{n}": {"key": f"key-{n}", "signatures": {user.id: {f"ed25519:{user.device}": "s"}}} for n in names}


def send_device(sender, messages, txn=None, kind="org.example.d"):
    return sender.put(f"sendToDevice/{kind}/{txn or unique()}", {"messages": messages})


def to_device(r):
    return r.get("to_device", {}).get("events", [])


def test_to_device_is_delivered_until_acknowledged(server):
    u, v = server.users(2)
    v.sync()
    before = v.since
    send_device(u, {v.id: {v.device: {"n": 1}}})
    first = v.sync(since=before)
    same(to_device(first), [{"type": "org.example.d", "sender": u.id, "content": {"n": 1}}])
    same(to_device(v.sync(since=before)), to_device(first), "a retry gives the same")
    same(to_device(v.sync(since=first["next_batch"])), [], "acknowledged")
    same(to_device(v.sync(since=first["next_batch"])), [])


def test_to_device_reaches_one_device_or_all(server):
    u, v = server.users(2)
    w = v.login()
    v.sync(), w.sync()
    send_device(u, {v.id: {v.device: {"to": "one"}}})
    same([m["content"] for m in to_device(v.sync())], [{"to": "one"}])
    same(to_device(w.sync()), [])
    send_device(u, {v.id: {"*": {"to": "all"}}})
    for x in (v, w):
        same([m["content"] for m in to_device(x.sync())], [{"to": "all"}])
    send_device(u, {v.id: {"NOSUCH": {"a": 1}}, "@no:localhost": {"*": {}}})


def test_to_device_transactions_are_idempotent(server):
    u, v = server.users(2)
    v.sync()
    in_parallel([lambda: send_device(u, {v.id: {v.device: {"n": 1}}}, txn="same")] * 4)
    send_device(u, {v.id: {v.device: {"n": 2}}}, txn="same")
    same([m["content"] for m in to_device(v.sync())], [{"n": 1}])


def test_to_device_comes_in_order_and_in_portions(server):
    u, v = server.users(2)
    v.sync()
    for n in range(130):
        send_device(u, {v.id: {v.device: {"n": n}}})
    got = []
    for _ in range(10):
        r = v.sync()
        portion = [m["content"]["n"] for m in to_device(r)]
        check(len(portion) <= 100, "about 100 a response")
        got += portion
        if len(got) >= 130:
            break
    same(got, list(range(130)))


def test_to_device_before_the_first_sync(server):
    u, v = server.users(2)
    send_device(u, {v.id: {v.device: {"n": 1}}})
    same([m["content"] for m in to_device(v.sync())], [{"n": 1}])
    same(to_device(v.sync()), [])


def test_to_device_errors(server):
    u = server.register()
    refused(u.call("PUT", f"sendToDevice/x/{unique()}", {}), 400)
    refused(u.call("PUT", f"sendToDevice/x/{unique()}", {"messages": 5}), 400)
    refused(u.call("PUT", f"sendToDevice/x/{unique()}", {"messages": {u.id: {u.device: "text"}}}), 400)


def test_device_keys_are_uploaded_and_queried(server):
    u, v = server.users(2)
    r = u.post("keys/upload", {"device_keys": device_keys(u), "one_time_keys": one_time(u, "a", "b")})
    same(r["one_time_key_counts"].get("signed_curve25519"), 2)
    got = v.post("keys/query", {"device_keys": {u.id: []}})
    keys = got["device_keys"][u.id][u.device]
    same(keys["keys"], device_keys(u)["keys"])
    check("unsigned" in keys or True)
    u.put(f"devices/{u.device}", {"display_name": "Phone"})
    keys = v.post("keys/query", {"device_keys": {u.id: [u.device]}})["device_keys"][u.id][u.device]
    same(keys.get("unsigned", {}).get("device_display_name", "Phone"), "Phone")
    same(v.post("keys/query", {"device_keys": {u.id: ["OTHER"]}})["device_keys"].get(u.id, {}), {})
    same(v.post("keys/query", {"device_keys": {"@no:localhost": []}})["device_keys"].get("@no:localhost", {}), {})


def test_key_upload_errors(server):
    u, v = server.users(2)
    wrong = {**device_keys(u), "device_id": "OTHER"}
    refused(u.call("POST", "keys/upload", {"device_keys": wrong}), 400)
    refused(u.call("POST", "keys/upload", {"device_keys": {**device_keys(u), "user_id": v.id}}), 400)
    refused(u.call("POST", "keys/upload", {"device_keys": 5}), 400)
    refused(u.call("POST", "keys/upload", {"one_time_keys": {"nocolon": "x"}}), 400)
    refused(u.call("POST", "keys/query", {}), 400)
    refused(u.call("POST", "keys/query", {"device_keys": {u.id: "x"}}), 400)
    refused(u.call("POST", "keys/claim", {}), 400)
    same(u.post("keys/upload", {})["one_time_key_counts"].get("signed_curve25519", 0), 0)


def test_the_same_key_id_with_other_content_is_refused(server):
    u = server.register()
    u.post("keys/upload", {"one_time_keys": one_time(u, "a")})
    same(u.post("keys/upload", {"one_time_keys": one_time(u, "a")})["one_time_key_counts"]["signed_curve25519"], 1)
    changed = one_time(u, "a")
    changed["signed_curve25519:a"]["key"] = "other"
    refused(u.call("POST", "keys/upload", {"one_time_keys": changed}), 400)


def claim(user, target, algorithm="signed_curve25519"):
    r = user.post("keys/claim", {"one_time_keys": {target.id: {target.device: algorithm}}})
    return next(iter(r["one_time_keys"].get(target.id, {}).get(target.device, {}) or [None]))


def test_a_one_time_key_is_claimed_once(server):
    u, v = server.users(2)
    names = [f"k{n}" for n in range(8)]
    u.post("keys/upload", {"device_keys": device_keys(u), "one_time_keys": one_time(u, *names)})
    claimed = in_parallel([lambda: claim(v, u) for _ in range(10)])
    got = [c for c in claimed if c]
    same(len(got), 8)
    same(len(set(got)), 8, "each key once")


def test_keys_are_claimed_oldest_first_and_counted_in_sync(server):
    u, v = server.users(2)
    u.post("keys/upload", {"one_time_keys": one_time(u, "z")})
    u.post("keys/upload", {"one_time_keys": one_time(u, "a")})
    same(u.sync()["device_one_time_keys_count"]["signed_curve25519"], 2)
    same(claim(v, u), "signed_curve25519:z")
    same(u.sync()["device_one_time_keys_count"]["signed_curve25519"], 1)
    same(claim(v, u), "signed_curve25519:a")
    same(u.sync()["device_one_time_keys_count"].get("signed_curve25519"), 0, "the count is told also when it is 0")
    same(claim(v, u), None)


def test_a_claim_wakes_a_waiting_sync(server):
    u, v = server.users(2)
    u.post("keys/upload", {"one_time_keys": one_time(u, "a")})
    u.sync(), u.sync()
    waiting = Later(lambda: u.sync(timeout=20000))
    waiting.thread.join(0.2)
    claim(v, u)
    same(waiting.value()["device_one_time_keys_count"]["signed_curve25519"], 0)
    check(waiting.seconds < 10)


def test_a_fallback_key_is_not_used_up(server):
    u, v = server.users(2)
    fallback = {"signed_curve25519:f": {"key": "fb", "fallback": True, "signatures": {u.id: {f"ed25519:{u.device}": "s"}}}}
    u.post("keys/upload", {"device_keys": device_keys(u), "fallback_keys": fallback, "one_time_keys": one_time(u, "a")})
    same(u.sync()["device_unused_fallback_key_types"], ["signed_curve25519"])
    same(claim(v, u), "signed_curve25519:a", "one-time keys first")
    same(u.sync()["device_unused_fallback_key_types"], ["signed_curve25519"])
    same(claim(v, u), "signed_curve25519:f")
    same(claim(v, u), "signed_curve25519:f")
    same(u.sync()["device_unused_fallback_key_types"], [])
    u.post("keys/upload", {"fallback_keys": {"signed_curve25519:g": {"key": "gb", "fallback": True, "signatures": {}}}})
    same(u.sync()["device_unused_fallback_key_types"], ["signed_curve25519"])
    same(claim(v, u), "signed_curve25519:g", "the new one replaces the old")


def changed(r):
    return set(r.get("device_lists", {}).get("changed", []))


def left(r):
    return set(r.get("device_lists", {}).get("left", []))


def test_device_lists(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat", initial_state=ENCRYPTED)
    u.post("keys/upload", {"device_keys": device_keys(u)})
    v.post("keys/upload", {"device_keys": device_keys(v)})
    u.sync()
    before = u.since
    v.join(room)
    r = u.sync()
    check(v.id in changed(r), "who begins to share an encrypted room")
    d = v.login()
    d.post("keys/upload", {"device_keys": device_keys(d)})
    r = u.sync()
    check(v.id in changed(r), "a new device")
    changes = u.get("keys/changes", **{"from": before, "to": u.since})
    check(v.id in changes["changed"], "keys/changes agrees")
    d.post("logout")
    check(v.id in changed(u.sync()), "a device went")
    middle = u.since
    v.leave(room)
    r = u.sync()
    check(v.id in left(r), f"who no longer shares one: {r.get('device_lists')}")
    check(v.id not in changed(r))
    check(v.id in u.get("keys/changes", **{"from": middle, "to": u.since})["left"])


def test_left_only_with_the_last_shared_room(server):
    u, v = server.users(2)
    rooms = [u.create_room(preset="public_chat", initial_state=ENCRYPTED) for _ in range(2)]
    for room in rooms:
        v.join(room)
    u.sync()
    v.leave(rooms[0])
    check(v.id not in left(u.sync()))
    v.leave(rooms[1])
    check(v.id in left(u.sync()))


def test_own_devices_are_in_the_device_list(server):
    u = server.register()
    u.sync()
    d = u.login()
    d.post("keys/upload", {"device_keys": device_keys(d)})
    check(u.id in changed(u.sync()))


def test_encryption_switched_on_later_changes_the_lists(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    u.sync(), v.sync()
    u.state(room, "m.room.encryption", ENCRYPTED[0]["content"])
    check(v.id in changed(u.sync()))
    check(u.id in changed(v.sync()))


def test_strangers_devices_are_not_told(server):
    u, v = server.users(2)
    u.sync()
    v.post("keys/upload", {"device_keys": device_keys(v)})
    check(v.id not in changed(u.sync()))


class Keys:
    """The three cross-signing keys of a user, and what is uploaded of them. Servers verify these signatures."""

    def __init__(self, user, tag=""):
        self.user, self.master, self.own, self.others = user, *(Key(f"{usage}{tag}{user.id}") for usage in "MSU")

    def public(self, usage, key):
        return {"user_id": self.user.id, "usage": [usage], "keys": {key.id: key.public}}

    def upload(self):
        signed = [self.master.sign(self.public(usage, key), self.user.id)
                  for usage, key in (("self_signing", self.own), ("user_signing", self.others))]
        return {"master_key": self.public("master", self.master), "self_signing_key": signed[0], "user_signing_key": signed[1]}


def cross_sign(user, tag=""):
    return Keys(user, tag).upload()


def upload_with_auth(user, keys):
    r = user.call("POST", "keys/device_signing/upload", keys)
    if r.status != 401:
        return r
    auth = {"type": "m.login.password", "session": r.json["session"], "identifier": {"type": "m.id.user", "user": user.id},
            "password": user.password}
    return user.call("POST", "keys/device_signing/upload", {**keys, "auth": auth})


def test_cross_signing(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat", initial_state=ENCRYPTED)
    v.join(room)
    v.sync()
    keys = cross_sign(u)
    ok(upload_with_auth(u, keys))
    check(u.id in changed(v.sync()), "new cross-signing keys change the device list")
    mine = u.post("keys/query", {"device_keys": {u.id: []}})
    same(mine["master_keys"][u.id]["keys"], keys["master_key"]["keys"])
    same(mine["user_signing_keys"][u.id]["keys"], keys["user_signing_key"]["keys"])
    theirs = v.post("keys/query", {"device_keys": {u.id: []}})
    same(theirs["self_signing_keys"][u.id]["keys"], keys["self_signing_key"]["keys"])
    check(u.id not in theirs.get("user_signing_keys", {}), "the user-signing key is private")
    ok(u.call("POST", "keys/device_signing/upload", keys))  # the same keys again need no password


def test_replacing_cross_signing_keys_needs_the_password(server):
    u = server.register()
    ok(upload_with_auth(u, cross_sign(u)))
    r = u.call("POST", "keys/device_signing/upload", cross_sign(u, "2"))
    same(r.status, 401)
    check(r.json["flows"] and r.json["session"])
    ok(upload_with_auth(u, cross_sign(u, "2")))
    same(u.post("keys/query", {"device_keys": {u.id: []}})["master_keys"][u.id]["keys"], cross_sign(u, "2")["master_key"]["keys"])


def test_cross_signing_errors(server):
    u, v = server.users(2)
    keys = cross_sign(u)
    bad = {**keys, "master_key": {**keys["master_key"], "user_id": v.id}}
    check(upload_with_auth(u, bad).status in (400, 403))
    bad = {**keys, "master_key": {**keys["master_key"], "keys": {"ed25519:a": "a", "ed25519:b": "b"}}}
    check(upload_with_auth(u, bad).status == 400)
    bad = {**keys, "master_key": 5}
    check(upload_with_auth(u, bad).status == 400)


def test_signatures(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat", initial_state=ENCRYPTED)
    v.join(room)
    device = Key(u.device)
    uploaded = device_keys(u)
    uploaded["keys"][f"ed25519:{u.device}"] = device.public
    u.post("keys/upload", {"device_keys": uploaded})
    keys = Keys(u)
    ok(upload_with_auth(u, keys.upload()))
    v.sync()
    signed = keys.own.sign({**uploaded, "signatures": {}}, u.id)
    same(u.post("keys/signatures/upload", {u.id: {u.device: signed}}).get("failures", {}), {})
    got = v.post("keys/query", {"device_keys": {u.id: []}})["device_keys"][u.id][u.device]["signatures"][u.id]
    same(got[keys.own.id], signed["signatures"][u.id][keys.own.id])
    same(got[f"ed25519:{u.device}"], "sig", "the earlier one stays")
    check(u.id in changed(v.sync()))
    master = device.sign(keys.public("master", keys.master), u.id, f"ed25519:{u.device}")
    same(u.post("keys/signatures/upload", {u.id: {keys.master.public: master}}).get("failures", {}), {})
    got = v.post("keys/query", {"device_keys": {u.id: []}})["master_keys"][u.id]["signatures"][u.id]
    same(got[f"ed25519:{u.device}"], master["signatures"][u.id][f"ed25519:{u.device}"])


def test_signatures_over_others_are_for_the_signer(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat", initial_state=ENCRYPTED)
    v.join(room)
    mine, theirs = Keys(u), Keys(v)
    ok(upload_with_auth(u, mine.upload()))
    ok(upload_with_auth(v, theirs.upload()))
    u.sync(), v.sync()
    master = mine.others.sign(theirs.public("master", theirs.master), u.id)
    same(u.post("keys/signatures/upload", {v.id: {theirs.master.public: master}}).get("failures", {}), {})
    got = u.post("keys/query", {"device_keys": {v.id: []}})["master_keys"][v.id]
    same(got["signatures"][u.id], master["signatures"][u.id])
    got = v.post("keys/query", {"device_keys": {v.id: []}})["master_keys"][v.id]
    check(u.id not in got.get("signatures", {}), "not shown to others")
    check(v.id in changed(u.sync()), "the signer's other devices are told")
    check(v.id not in changed(v.sync()), "nobody else is")


def test_signature_failures_are_told(server):
    u = server.register()
    r = u.post("keys/signatures/upload", {u.id: {"NOSUCH": {**device_keys(u), "device_id": "NOSUCH"}}})
    same(r["failures"][u.id]["NOSUCH"]["errcode"], "M_NOT_FOUND")


def test_signatures_that_do_not_verify_are_refused(server):
    u = server.register()
    u.post("keys/upload", {"device_keys": device_keys(u)})
    keys, stranger = Keys(u), Keys(u, "other")
    forged = {**keys.upload(), "self_signing_key": stranger.upload()["self_signing_key"]}
    refused(upload_with_auth(u, forged), 400, "M_INVALID_SIGNATURE")
    without = keys.upload()
    del without["master_key"]
    refused(upload_with_auth(u, without), 400, "M_MISSING_PARAM")
    ok(upload_with_auth(u, keys.upload()))
    signed = stranger.own.sign({**device_keys(u), "signatures": {}}, u.id)
    r = u.post("keys/signatures/upload", {u.id: {u.device: signed}})
    same(r["failures"][u.id][u.device]["errcode"], "M_INVALID_SIGNATURE")


AUTH_DATA = {"public_key": "abc", "signatures": {}}
ALGORITHM = "m.megolm_backup.v1.curve25519-aes-sha2"


def session(first=10, forwarded=5, verified=False, data="x"):
    return {"first_message_index": first, "forwarded_count": forwarded, "is_verified": verified, "session_data": {"ciphertext": data}}


def backup_version(u):
    return u.post("room_keys/version", {"algorithm": ALGORITHM, "auth_data": AUTH_DATA})["version"]


def test_backup(server):
    u = server.register()
    refused(u.call("GET", "room_keys/version"), 404, "M_NOT_FOUND")
    version = backup_version(u)
    info = u.get("room_keys/version")
    same((info["version"], info["algorithm"], info["auth_data"], info["count"]), (version, ALGORITHM, AUTH_DATA, 0))
    r = u.put(f"room_keys/keys/{quote('!r:x')}/s1", session(), version=version)
    same(r["count"], 1)
    check(r["etag"] != info["etag"], "the etag changes")
    same(u.get(f"room_keys/keys/{quote('!r:x')}/s1", version=version)["session_data"], {"ciphertext": "x"})
    r2 = u.put(f"room_keys/keys/{quote('!r:x')}", {"sessions": {"s2": session(), "s3": session()}}, version=version)
    same(r2["count"], 3)
    r3 = u.put("room_keys/keys", {"rooms": {"!q:x": {"sessions": {"s4": session()}}}}, version=version)
    same(r3["count"], 4)
    same(set(u.get("room_keys/keys", version=version)["rooms"]), {"!r:x", "!q:x"})
    same(set(u.get(f"room_keys/keys/{quote('!r:x')}", version=version)["sessions"]), {"s1", "s2", "s3"})
    same(u.get("room_keys/version")["etag"], r3["etag"])
    d = ok(u.call("DELETE", f"room_keys/keys/{quote('!r:x')}/s1", query={"version": version}))
    same(d["count"], 3)
    check(d["etag"] != r3["etag"])
    same(ok(u.call("DELETE", f"room_keys/keys/{quote('!r:x')}", query={"version": version}))["count"], 1)
    same(ok(u.call("DELETE", "room_keys/keys", query={"version": version}))["count"], 0)
    same(u.get("room_keys/keys", version=version), {"rooms": {}})


def test_backup_keeps_the_better_session(server):
    u = server.register()
    version = backup_version(u)
    path = f"room_keys/keys/{quote('!r:x')}/s"

    def stored():
        return u.get(path, version=version)["session_data"]["ciphertext"]
    u.put(path, session(10, 5, False, "first"), version=version)
    for worse in (session(11, 0, False, "later"), session(10, 6, False, "more forwards"), session(10, 5, False, "equal")):
        u.put(path, worse, version=version)
        same(stored(), "first")
    for n, better in enumerate((session(10, 4, False, "fewer"), session(9, 9, False, "earlier"), session(50, 50, True, "verified"))):
        before = u.get("room_keys/version")["etag"]
        u.put(path, better, version=version)
        same(stored(), better["session_data"]["ciphertext"])
        check(u.get("room_keys/version")["etag"] != before, "the etag changes")
    u.put(path, session(1, 1, False, "unverified"), version=version)
    same(stored(), "verified")


def test_backup_versions(server):
    u = server.register()
    first = backup_version(u)
    second = backup_version(u)
    check(first != second)
    body = refused(u.call("PUT", f"room_keys/keys/{quote('!r:x')}/s", session(), {"version": first}), 403, "M_WRONG_ROOM_KEYS_VERSION")
    same(body["current_version"], second)
    same(u.get("room_keys/version")["version"], second)
    same(u.get(f"room_keys/version/{first}")["version"], first)
    u.put(f"room_keys/version/{second}", {"algorithm": ALGORITHM, "auth_data": {"public_key": "new"}, "version": second})
    same(u.get("room_keys/version")["auth_data"], {"public_key": "new"})
    refused(u.call("PUT", f"room_keys/version/{second}", {"algorithm": "other", "auth_data": {}}), 400, "M_INVALID_PARAM")
    u.delete(f"room_keys/version/{second}")
    same(u.get("room_keys/version")["version"], first)
    refused(u.call("GET", f"room_keys/version/{second}"), 404, "M_NOT_FOUND")
    refused(u.call("GET", "room_keys/version/999"), 404, "M_NOT_FOUND")
    refused(u.call("PUT", "room_keys/version/999", {"algorithm": ALGORITHM, "auth_data": {}}), 404, "M_NOT_FOUND")


def test_backup_errors(server):
    u, v = server.users(2)
    version = backup_version(u)
    refused(v.call("GET", "room_keys/keys", query={"version": version}), 404, "M_NOT_FOUND")
    refused(u.call("GET", f"room_keys/keys/{quote('!r:x')}/none", query={"version": version}), 404, "M_NOT_FOUND")
    refused(u.call("PUT", f"room_keys/keys/{quote('!r:x')}/s", {"first_message_index": "x"}, {"version": version}), 400)
    refused(u.call("PUT", f"room_keys/keys/{quote('!r:x')}/s", session()), 400)
    refused(u.call("POST", "room_keys/version", {"algorithm": 5}), 400)
    same(u.get(f"room_keys/keys/{quote('!none:x')}", version=version), {"sessions": {}})


def test_members_of_encrypted_rooms_by_invitation(server):
    u, v = server.users(2)
    room = u.create_room(preset="private_chat", initial_state=ENCRYPTED, invite=[v.id])
    v.join(room)
    check(find(joined(v.sync(), room)["state"]["events"] + joined(v.get("sync", timeout=0), room)["timeline"]["events"],
               type="m.room.encryption"), json.dumps("the room is encrypted"))
