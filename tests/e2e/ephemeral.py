"""Receipts, typing, presence, read markers, account data, tags."""

import time

from harness import SLOW, check, ephemeral, find, in_parallel, joined, ok, quote, refused, same, unique

SMOKE = ["test_a_public_receipt_is_seen", "test_typing"]


def pair(server, **kw):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat", **kw)
    v.join(room)
    return u, v, room


def receipt_of(r, room, event, kind, user):
    for e in ephemeral(r, room, "m.receipt"):
        found = e["content"].get(event, {}).get(kind, {}).get(user.id)
        if found:
            return found
    return None


def test_a_public_receipt_is_seen(server):
    u, v, room = pair(server)
    e = u.send(room, "x")
    u.sync()
    same(v.receipt(room, e), {})
    r = u.sync_until(lambda s: receipt_of(s, room, e, "m.read", v))
    check(abs(r["ts"] - time.time() * 1000) < 600_000, "ts is in milliseconds")
    same(ephemeral(u.sync(), room, "m.receipt"), [], "told once")
    r = u.get("sync", timeout=0)
    check(receipt_of(r, room, e, "m.read", v), "a first sync has it as well")


def test_a_private_receipt_stays_private(server):
    u, v, room = pair(server)
    other = v.login()
    e = u.send(room, "x")
    u.sync(), v.sync(), other.sync()
    v.receipt(room, e, "m.read.private")
    other.sync_until(lambda s: receipt_of(s, room, e, "m.read.private", v))
    v.send(room, "later")
    u.sync_until(lambda s: joined(s, room).get("timeline"))
    check(not receipt_of(u.get("sync", timeout=0), room, e, "m.read.private", v))


def test_one_newest_receipt_per_user_type_and_thread(server):
    u, v, room = pair(server)
    a, b = u.send(room, "a"), u.send(room, "b")
    v.receipt(room, a), v.receipt(room, b)
    r = u.get("sync", timeout=0)
    check(not receipt_of(r, room, a, "m.read", v))
    check(receipt_of(r, room, b, "m.read", v))


def test_threaded_receipts(server):
    u, v, room = pair(server)
    root = u.send(room, "root")
    t = u.send(room, {"msgtype": "m.text", "body": "in", "m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    u.sync()
    v.receipt(room, t, thread=root)
    got = u.sync_until(lambda s: receipt_of(s, room, t, "m.read", v))
    same(got["thread_id"], root)
    v.receipt(room, root, thread="main")
    r = u.get("sync", timeout=0)
    check(receipt_of(r, room, t, "m.read", v) and receipt_of(r, room, root, "m.read", v), "one for each thread")


def test_receipt_errors(server):
    u, v, room = pair(server)
    e = u.send(room, "x")
    refused(u.call("POST", f"rooms/{quote(room)}/receipt/m.nonsense/{quote(e)}", {}), 400)
    for thread in ("", 5):
        refused(u.call("POST", f"rooms/{quote(room)}/receipt/m.read/{quote(e)}", {"thread_id": thread}), 400)
    refused(u.call("POST", f"rooms/{quote(room)}/receipt/m.fully_read/{quote(e)}", {"thread_id": "main"}), 400)
    outsider = server.register()
    private = u.create_room()
    refused(outsider.call("POST", f"rooms/{quote(private)}/receipt/m.read/{quote(u.send(private, 'y'))}", {}), (403, 404))


def test_fully_read_is_account_data(server):
    u, v, room = pair(server)
    e = u.send(room, "x")
    v.sync()
    v.receipt(room, e, "m.fully_read")
    r = v.sync_until(lambda s: find(joined(s, room).get("account_data", {}).get("events", []), type="m.fully_read"))
    same(r["content"], {"event_id": e})
    same(v.get(f"user/{quote(v.id)}/rooms/{quote(room)}/account_data/m.fully_read"), {"event_id": e})


def test_read_markers(server):
    u, v, room = pair(server)
    a, b = u.send(room, "a"), u.send(room, "b")
    u.sync()
    v.post(f"rooms/{quote(room)}/read_markers", {"m.fully_read": a, "m.read": b, "m.read.private": b})
    u.sync_until(lambda s: receipt_of(s, room, b, "m.read", v))
    same(v.get(f"user/{quote(v.id)}/rooms/{quote(room)}/account_data/m.fully_read"), {"event_id": a})
    v.post(f"rooms/{quote(room)}/read_markers", {})
    refused(v.call("PUT", f"user/{quote(v.id)}/rooms/{quote(room)}/account_data/m.fully_read", {"event_id": a}), 405)


def test_typing(server):
    u, v, room = pair(server)
    u.sync()
    path = f"rooms/{quote(room)}/typing/{quote(v.id)}"
    v.put(path, {"typing": True, "timeout": 30000})
    u.sync_until(lambda s: find(ephemeral(s, room, "m.typing"), content={"user_ids": [v.id]}))
    v.put(path, {"typing": False})
    u.sync_until(lambda s: find(ephemeral(s, room, "m.typing"), content={"user_ids": []}))


def test_typing_ends_by_itself(server):
    u, v, room = pair(server)
    u.sync()
    v.put(f"rooms/{quote(room)}/typing/{quote(v.id)}", {"typing": True, "timeout": 300})
    u.sync_until(lambda s: find(ephemeral(s, room, "m.typing"), content={"user_ids": [v.id]}))
    start = time.monotonic()
    u.sync_until(lambda s: find(ephemeral(s, room, "m.typing"), content={"user_ids": []}))
    check(time.monotonic() - start < 6 * SLOW)


def test_sending_ends_nothing_else_and_typing_errors(server):
    u, v, room = pair(server)
    refused(u.call("PUT", f"rooms/{quote(room)}/typing/{quote(v.id)}", {"typing": True}), 403, "M_FORBIDDEN")
    refused(u.call("PUT", f"rooms/{quote(room)}/typing/{quote(u.id)}", {}), 400)
    refused(u.call("PUT", f"rooms/{quote(room)}/typing/{quote(u.id)}", {"typing": "yes"}), 400)
    outsider = server.register()
    refused(outsider.call("PUT", f"rooms/{quote(room)}/typing/{quote(outsider.id)}", {"typing": True}), 403, "M_FORBIDDEN")


def test_presence(server):
    u, v, room = pair(server)
    u.sync()
    v.put(f"presence/{quote(v.id)}/status", {"presence": "unavailable", "status_msg": "tea"})
    got = u.sync_until(lambda s: find(s.get("presence", {}).get("events", []), sender=v.id))
    same(got["type"], "m.presence")
    r = u.get(f"presence/{quote(v.id)}/status")
    same((r["presence"], r["status_msg"]), ("unavailable", "tea"))
    refused(u.call("PUT", f"presence/{quote(v.id)}/status", {"presence": "online"}), 403, "M_FORBIDDEN")
    refused(u.call("PUT", f"presence/{quote(u.id)}/status", {"presence": "dancing"}), 400)
    stranger = server.register()
    refused(stranger.call("GET", f"presence/{quote(v.id)}/status"), (403, 404))


def test_account_data(server):
    u, v = server.users(2)
    path = f"user/{quote(u.id)}/account_data/org.example.x"
    refused(u.call("GET", path), 404, "M_NOT_FOUND")
    u.put(path, {"a": {"b": [1]}})
    same(u.get(path), {"a": {"b": [1]}})
    u.put(path, {})
    same(u.get(path), {})
    refused(v.call("GET", path), 403, "M_FORBIDDEN")
    refused(v.call("PUT", path, {}), 403, "M_FORBIDDEN")
    refused(u.call("PUT", path, "[1]"), 400, ("M_BAD_JSON", "M_NOT_JSON"))
    refused(u.call("PUT", f"user/{quote(u.id)}/account_data/m.push_rules", {}), 405)
    refused(u.call("PUT", f"user/{quote(u.id)}/account_data/m.fully_read", {}), 405)


def test_room_account_data(server):
    u, v, room = pair(server)
    path = f"user/{quote(u.id)}/rooms/{quote(room)}/account_data/org.example.x"
    refused(u.call("GET", path), 404, "M_NOT_FOUND")
    u.put(path, {"a": 1})
    same(u.get(path), {"a": 1})
    refused(v.call("GET", path), 403, "M_FORBIDDEN")
    refused(u.call("PUT", f"user/{quote(u.id)}/rooms/nonsense/account_data/org.example.x", {}), 400)


def test_tags(server):
    u, v, room = pair(server)
    base = f"user/{quote(u.id)}/rooms/{quote(room)}/tags"
    same(u.get(base), {"tags": {}})
    u.sync()
    u.put(f"{base}/m.favourite", {"order": 0.25})
    u.put(f"{base}/{quote('u.Work & more')}", {})
    same(u.get(base)["tags"], {"m.favourite": {"order": 0.25}, "u.Work & more": {}})
    e = u.sync_until(lambda s: find(joined(s, room).get("account_data", {}).get("events", []), type="m.tag"))
    same(e["content"]["tags"]["m.favourite"], {"order": 0.25})
    u.delete(f"{base}/m.favourite")
    same(u.get(base)["tags"], {"u.Work & more": {}})
    refused(v.call("GET", base), 403, "M_FORBIDDEN")
    refused(v.call("PUT", f"{base}/x", {}), 403, "M_FORBIDDEN")


def test_ignored_users_are_not_heard(server):
    u, v, room = pair(server)
    u.sync()
    u.put(f"user/{quote(u.id)}/account_data/m.ignored_user_list", {"ignored_users": {v.id: {}}})
    v.send(room, "noise")
    v.put(f"rooms/{quote(room)}/typing/{quote(v.id)}", {"typing": True, "timeout": 5000})
    e = u.send(room, "mine")
    seen = []

    def until(s):
        seen.extend(joined(s, room).get("timeline", {}).get("events", []))
        return find(seen, event_id=e)
    u.sync_until(until)
    check(not find(seen, sender=v.id), "no message of the ignored")
    other = v.create_room(invite=[u.id])
    u.put(f"user/{quote(u.id)}/account_data/org.example.mark", {"m": unique()})
    r = u.sync_until(lambda s: s if find(s.get("account_data", {}).get("events", []), type="org.example.mark") else None)
    check(other not in r.get("rooms", {}).get("invite", {}), "no invitation of the ignored")
    u.put(f"user/{quote(u.id)}/account_data/m.ignored_user_list", {"ignored_users": {}})
    v.send(room, "heard again")
    u.sync_until(lambda s: find(joined(s, room).get("timeline", {}).get("events", []), sender=v.id))
    check(ok(u.call("GET", "joined_rooms")))


def test_receipts_do_not_go_back(server):
    u, v, room = pair(server)
    a, b = u.send(room, "a"), u.send(room, "b")
    v.receipt(room, b), v.receipt(room, a)
    r = u.get("sync", timeout=0)
    check(receipt_of(r, room, b, "m.read", v) and not receipt_of(r, room, a, "m.read", v))
    v.receipt(room, b, "m.fully_read"), v.receipt(room, a, "m.fully_read")
    same(v.get(f"user/{quote(v.id)}/rooms/{quote(room)}/account_data/m.fully_read"), {"event_id": b})


def test_a_threaded_receipt_is_for_an_event_of_the_thread(server):
    u, v, room = pair(server)
    root, other = u.send(room, "root"), u.send(room, "other")
    t = u.send(room, {"msgtype": "m.text", "body": "t", "m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    reaction = u.send(room, {"m.relates_to": {"rel_type": "m.annotation", "event_id": t, "key": "a"}}, kind="m.reaction")
    for event, thread in ((other, root), (t, "main"), (t, other)):
        refused(v.call("POST", f"rooms/{quote(room)}/receipt/m.read/{quote(event)}", {"thread_id": thread}), 400, "M_INVALID_PARAM")
    for event, thread in ((root, root), (root, "main"), (t, root), (reaction, root)):
        v.receipt(room, event, thread=thread)


def test_who_leaves_types_no_more(server):
    u, v, room = pair(server)
    u.sync()
    v.put(f"rooms/{quote(room)}/typing/{quote(v.id)}", {"typing": True, "timeout": 60000})
    u.sync_until(lambda s: find(ephemeral(s, room, "m.typing"), content={"user_ids": [v.id]}))
    v.leave(room)
    u.sync_until(lambda s: find(ephemeral(s, room, "m.typing"), content={"user_ids": []}))


def presences(sync):
    return {e["sender"]: e["content"]["presence"] for e in sync.get("presence", {}).get("events", [])}


def test_a_sync_makes_online_unless_it_says_otherwise(server):
    u, v, room = pair(server)
    u.sync()
    v.sync(set_presence="offline")
    same(u.get(f"presence/{quote(v.id)}/status")["presence"], "offline")
    v.sync()
    u.sync_until(lambda s: presences(s).get(v.id) == "online")
    same(u.get(f"presence/{quote(v.id)}/status")["presence"], "online")


def test_those_who_meet_in_a_room_learn_of_each_other(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    u.sync(), v.sync()
    check(v.id not in presences(u.sync()))
    v.join(room)
    v.sync_until(lambda s: presences(s).get(u.id) == "online")
    u.sync_until(lambda s: presences(s).get(v.id) == "online")


def test_the_presence_of_strangers_is_not_told(server):
    u, v = server.users(2)
    u.sync()
    v.put(f"presence/{quote(v.id)}/status", {"presence": "online", "status_msg": "here"})
    u.put(f"user/{quote(u.id)}/account_data/org.example.mark", {})
    same(set(presences(u.sync())) - {u.id}, set())


def test_the_last_status_is_seen_by_oneself(server):
    u = server.register()
    u.sync()
    u.put(f"presence/{quote(u.id)}/status", {"presence": "online", "status_msg": "tea"})
    e = find(u.sync()["presence"]["events"], sender=u.id)
    same(e["content"]["status_msg"], "tea")


def test_tags_set_at_once_are_all_kept(server):
    u = server.register()
    room = u.create_room()
    base = f"user/{quote(u.id)}/rooms/{quote(room)}/tags"
    in_parallel([lambda n=n: u.put(f"{base}/u.t{n}", {"order": n / 10}) for n in range(8)])
    same(set(u.get(base)["tags"]), {f"u.t{n}" for n in range(8)})


def test_deleted_account_data(server):
    u = server.register()
    path = f"/_matrix/client/unstable/org.matrix.msc3391/user/{quote(u.id)}/account_data/org.example.x"
    refused(u.call("DELETE", path), 404, "M_NOT_FOUND")
    u.put(f"user/{quote(u.id)}/account_data/org.example.x", {"a": 1})
    u.sync()
    u.delete(path)
    refused(u.call("GET", f"user/{quote(u.id)}/account_data/org.example.x"), 404, "M_NOT_FOUND")
    same(find(u.sync()["account_data"]["events"], type="org.example.x")["content"], {})
    check(not find(u.get("sync", timeout=0)["account_data"]["events"], type="org.example.x"), "a first sync leaves it out")
