"""Edits, reactions, threads, references."""

from harness import check, find, ids, joined, ok, quote, refused, same, timeline, unique

SMOKE = ["test_an_edit_is_bundled"]
V1 = "/_matrix/client/v1/"


def pair(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    return u, v, room


def relate(user, room, rel, target, body="r", kind="m.room.message", key=None, **more):
    content = {"m.relates_to": {"rel_type": rel, "event_id": target, **({"key": key} if key else {})}, **more}
    if kind == "m.room.message":
        content.update({"msgtype": "m.text", "body": body})
    return user.send(room, content, kind=kind)


def react(user, room, target, key="👍"):
    return relate(user, room, "m.annotation", target, kind="m.reaction", key=key)


def edit(user, room, target, text):
    return relate(user, room, "m.replace", target, body=f"* {text}", **{"m.new_content": {"msgtype": "m.text", "body": text}})


def thread(user, room, root, text="t"):
    return relate(user, room, "m.thread", root, body=text)


def related(user, room, event, *path, **query):
    return user.get("/".join([f"{V1}rooms/{quote(room)}/relations/{quote(event)}", *path]), **query)


def test_an_edit_is_bundled(server):
    u, v, room = pair(server)
    e = u.send(room, "old")
    edit(u, room, e, "newer")
    last = edit(u, room, e, "newest")
    seen = v.event(room, e)
    replace = seen["unsigned"]["m.relations"]["m.replace"]
    same(replace["event_id"], last)
    same(replace["content"]["m.new_content"]["body"], "newest")
    same(seen["content"]["body"], "old", "the original content stays for the client to replace")
    for events in (v.messages(room)["chunk"], timeline(v.get("sync", timeout=0), room)):
        same(find(events, event_id=e)["unsigned"]["m.relations"]["m.replace"]["event_id"], last)


def test_an_edit_by_another_or_of_another_type_does_not_count(server):
    u, v, room = pair(server)
    e = u.send(room, "mine")
    edit(v, room, e, "forged")
    relate(u, room, "m.replace", e, kind="org.example.other", **{"m.new_content": {"body": "x"}})
    check("m.replace" not in u.event(room, e).get("unsigned", {}).get("m.relations", {}))


def test_redacting_the_edit_goes_back(server):
    u, _, room = pair(server)
    e = u.send(room, "old")
    first = edit(u, room, e, "one")
    second = edit(u, room, e, "two")
    u.redact(room, second)
    same(u.event(room, e)["unsigned"]["m.relations"]["m.replace"]["event_id"], first)
    u.redact(room, first)
    check("m.replace" not in u.event(room, e).get("unsigned", {}).get("m.relations", {}))


def test_a_redacted_event_has_no_bundle(server):
    u, _, room = pair(server)
    e = u.send(room, "x")
    edit(u, room, e, "y")
    u.redact(room, e)
    check("m.replace" not in u.event(room, e).get("unsigned", {}).get("m.relations", {}))


def test_the_same_reaction_twice_is_refused(server):
    u, v, room = pair(server)
    e = u.send(room, "x")
    r = react(v, room, e)
    refused(v.call("PUT", f"rooms/{quote(room)}/send/m.reaction/{unique()}",
                   {"m.relates_to": {"rel_type": "m.annotation", "event_id": e, "key": "👍"}}), 400, "M_DUPLICATE_ANNOTATION")
    react(v, room, e, "🔥"), react(u, room, e)
    v.redact(room, r)
    react(v, room, e)
    check(True)


def test_relations_are_listed_and_paged(server):
    u, v, room = pair(server)
    e = u.send(room, "x")
    first, second, third = react(u, room, e, "a"), react(u, room, e, "b"), edit(u, room, e, "y")
    same(ids(related(v, room, e)["chunk"]), [third, second, first], "newest first")
    same(ids(related(v, room, e, dir="f")["chunk"]), [first, second, third])
    same(ids(related(v, room, e, "m.annotation")["chunk"]), [second, first])
    same(ids(related(v, room, e, "m.annotation", "m.reaction")["chunk"]), [second, first])
    same(ids(related(v, room, e, "m.annotation", "org.example.none")["chunk"]), [])
    page = related(v, room, e, limit=2)
    same(ids(page["chunk"]), [third, second])
    rest = related(v, room, e, limit=2, **{"from": page["next_batch"]})
    same(ids(rest["chunk"]), [first])
    check("next_batch" not in rest)


def test_relations_recurse(server):
    u, v, room = pair(server)
    root = u.send(room, "root")
    t = thread(v, room, root)
    r = react(u, room, t)
    r2 = react(u, room, r)
    got = related(u, room, root, recurse="true")
    same(ids(got["chunk"]), [r2, r, t])
    check(got["recursion_depth"] >= 3)
    same(ids(related(u, room, root)["chunk"]), [t])


def test_redacted_relations_are_gone(server):
    u, v, room = pair(server)
    e = u.send(room, "x")
    r = react(v, room, e)
    v.redact(room, r)
    same(related(u, room, e, "m.annotation")["chunk"], [])


def test_relation_errors(server):
    u, v, room = pair(server)
    e = u.send(room, "x")
    outsider = server.register()
    private = u.create_room()
    pe = u.send(private, "p")
    refused(outsider.call("GET", f"{V1}rooms/{quote(private)}/relations/{quote(pe)}"), (403, 404))
    refused(u.call("GET", f"{V1}rooms/{quote(room)}/relations/{quote('$none')}"), 404, "M_NOT_FOUND")
    refused(u.call("GET", f"{V1}rooms/{quote(room)}/relations/{quote(e)}", query={"dir": "x"}), 400)


def test_threads_are_bundled_with_counts(server):
    u, v, room = pair(server)
    root = u.send(room, "root")
    thread(u, room, root, "1")
    last = thread(v, room, root, "2")
    w = server.register()
    w.join(room)
    bundle = u.event(room, root)["unsigned"]["m.relations"]["m.thread"]
    same((bundle["count"], bundle["latest_event"]["event_id"], bundle["current_user_participated"]), (2, last, True))
    same(w.event(room, root)["unsigned"]["m.relations"]["m.thread"]["current_user_participated"], False)
    v.redact(room, last)
    same(u.event(room, root)["unsigned"]["m.relations"]["m.thread"]["count"], 1)


def test_the_latest_event_of_a_thread_carries_its_edit(server):
    u, _, room = pair(server)
    root = u.send(room, "root")
    t = thread(u, room, root, "first")
    e = edit(u, room, t, "better")
    latest = u.event(room, root)["unsigned"]["m.relations"]["m.thread"]["latest_event"]
    same(latest["event_id"], t)
    same(latest["unsigned"]["m.relations"]["m.replace"]["event_id"], e)


def test_thread_list(server):
    u, v, room = pair(server)
    a, b = u.send(room, "a"), v.send(room, "b")
    thread(u, room, a), thread(v, room, b)
    path = f"{V1}rooms/{quote(room)}/threads"
    same(ids(u.get(path)["chunk"]), [b, a], "latest activity first")
    thread(v, room, a)
    same(ids(u.get(path)["chunk"]), [a, b])
    w = server.register()
    w.join(room)
    same(ids(w.get(path, include="participated")["chunk"]), [])
    page = u.get(path, limit=1)
    same(ids(page["chunk"]), [a])
    same(ids(u.get(path, limit=1, **{"from": page["next_batch"]})["chunk"]), [b])
    check("m.thread" in page["chunk"][0]["unsigned"]["m.relations"])


def test_threads_cannot_be_nested(server):
    u, _, room = pair(server)
    root = u.send(room, "root")
    t = thread(u, room, root)
    r = u.call("PUT", f"rooms/{quote(room)}/send/m.room.message/{unique()}",
               {"msgtype": "m.text", "body": "x", "m.relates_to": {"rel_type": "m.thread", "event_id": t}})
    refused(r, 400)


def test_references_are_bundled(server):
    u, _, room = pair(server)
    e = u.send(room, "x")
    r = relate(u, room, "m.reference", e, kind="org.example.ref")
    same(u.event(room, e)["unsigned"]["m.relations"]["m.reference"], {"chunk": [{"event_id": r}]})


def test_replies_are_no_relation(server):
    u, v, room = pair(server)
    e = u.send(room, "x")
    reply = v.send(room, {"msgtype": "m.text", "body": "re", "m.relates_to": {"m.in_reply_to": {"event_id": e}}})
    same(related(u, room, e)["chunk"], [])
    same(u.event(room, reply)["content"]["m.relates_to"], {"m.in_reply_to": {"event_id": e}})


def test_filter_by_relation(server):
    u, v, room = pair(server)
    e, plain = u.send(room, "x"), u.send(room, "plain")
    react(v, room, e)
    import json
    got = u.messages(room, filter=json.dumps({"related_by_rel_types": ["m.annotation"]}))["chunk"]
    same(ids(got), [e])
    got = u.messages(room, filter=json.dumps({"related_by_senders": [u.id]}))["chunk"]
    check(e not in ids(got) and plain not in ids(got))


def test_relations_to_events_of_other_rooms_do_not_count(server):
    u, _, room = pair(server)
    other = u.create_room()
    e = u.send(room, "x")
    r = u.call("PUT", f"rooms/{quote(other)}/send/m.reaction/{unique()}",
               {"m.relates_to": {"rel_type": "m.annotation", "event_id": e, "key": "👍"}})
    check(r.status in (200, 400, 404), f"{r!r}")
    same(related(u, room, e)["chunk"], [])


def test_malformed_relations_are_plain_events(server):
    u, _, room = pair(server)
    for bad in (5, "x", [], {"rel_type": 5}, {"rel_type": "m.annotation"}, {"event_id": 3, "rel_type": "m.thread"}, None):
        r = u.call("PUT", f"rooms/{quote(room)}/send/m.room.message/{unique()}", {"msgtype": "m.text", "body": "x", "m.relates_to": bad})
        check(r.status in (200, 400), f"{bad}: {r!r}")
    check(joined(u.sync(), room) and ok(u.call("GET", "joined_rooms")))
