"""History beyond what a server keeps in memory, and who may no longer read it."""

from harness import bodies, check, ids, quote, refused, same, unique

SMOKE = []


def long_room(server, count=260):
    u = server.register()
    room = u.create_room(preset="public_chat")
    return u, room, [u.send(room, f"m{n}") for n in range(count)]


def relate(user, room, kind, target, **more):
    return user.send(room, {"msgtype": "m.text", "body": "r", "m.relates_to": {"rel_type": kind, "event_id": target}, **more})


def replaced_by(user, room, event):
    return user.event(room, event)["unsigned"].get("m.relations", {}).get("m.replace", {}).get("event_id")


def test_a_long_room_pages_alike_in_both_directions(server):
    u, room, sent = long_room(server)
    pages = {}
    for direction in "bf":
        events, query = [], {}
        while True:
            r = u.messages(room, dir=direction, limit=37, **query)
            events += r["chunk"]
            if "end" not in r:
                break
            query = {"from": r["end"]}
        pages[direction] = events
    same(ids(pages["b"]), ids(pages["f"])[::-1])
    same([e["event_id"] for e in pages["f"] if e["type"] == "m.room.message"], sent)


def test_old_events_are_edited_and_threaded(server):
    u, room, sent = long_room(server)
    v = server.register()
    v.join(room)
    new = {"m.new_content": {"msgtype": "m.text", "body": "new"}}
    first = relate(u, room, "m.replace", sent[3], **new)
    same(replaced_by(v, room, sent[3]), first)
    second = relate(u, room, "m.replace", sent[3], **new)
    same(replaced_by(v, room, sent[3]), second)
    u.redact(room, second)
    same(replaced_by(v, room, sent[3]), first)
    replies = [relate(v if n % 2 else u, room, "m.thread", sent[4]) for n in range(4)]
    bundle = v.event(room, sent[4])["unsigned"]["m.relations"]["m.thread"]
    same((bundle["count"], bundle["latest_event"]["event_id"]), (4, replies[-1]))


def test_the_ignored_are_not_heard(server):
    u, v, w = server.users(3)
    room = u.create_room(preset="public_chat")
    v.join(room), w.join(room)
    root = v.send(room, "root")
    mine = relate(v, room, "m.thread", root)
    u.send(room, "from u")
    relate(u, room, "m.thread", root)
    w.put(f"user/{quote(w.id)}/account_data/m.ignored_user_list", {"ignored_users": {u.id: {}}})
    chunk = w.messages(room, limit=50)["chunk"]
    check("from u" not in bodies(chunk))
    check(any(e["type"] == "m.room.create" for e in chunk), "state stays")
    bundle = w.event(room, root)["unsigned"]["m.relations"]["m.thread"]
    same((bundle["count"], bundle["latest_event"]["event_id"]), (1, mine))
    same(v.event(room, root)["unsigned"]["m.relations"]["m.thread"]["count"], 2)


def test_a_forgotten_room_is_closed(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    v.leave(room)
    path = f"rooms/{quote(room)}"
    check(v.messages(room)["chunk"])
    same(v.call("GET", f"{path}/members").status, 200)
    refused(v.call("GET", f"{path}/joined_members"), 403, "M_FORBIDDEN")
    v.post(f"{path}/forget", {})
    for end in ("messages?dir=b", "state", "members", "joined_members"):
        refused(v.call("GET", f"{path}/{end}"), 403, "M_FORBIDDEN")


def test_members_at_a_point_in_time(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    then = u.messages(room, dir="b", limit=1)["start"]
    v.join(room)
    path = f"rooms/{quote(room)}/members"
    same({e["state_key"] for e in u.get(path, at=then)["chunk"]}, {u.id})
    same({e["state_key"] for e in u.get(path)["chunk"]}, {u.id, v.id})
    v.leave(room)
    same({e["state_key"] for e in u.get(path, membership="leave")["chunk"]}, {v.id})
    same({e["state_key"] for e in u.get(path, not_membership="leave")["chunk"]}, {u.id})
    refused(u.call("GET", path, query={"membership": "x"}), 400)
    refused(u.call("GET", path, query={"at": "x"}), 400)


def test_search_finds_parts_of_words_and_pages_ranked_results(server):
    u = server.register()
    room = u.create_room()
    word = unique("해치")
    sent = [u.send(room, f"{word}어 {'x' * n}") for n in range(23)]

    def page(token=None):
        body = {"search_categories": {"room_events": {"search_term": word, "filter": {"limit": 10}}}}
        return u.post("search", body, **({"next_batch": token} if token else {}))["search_categories"]["room_events"]
    found, r = [], page()
    same(r["count"], 23)
    while True:
        found += [x["result"]["event_id"] for x in r["results"]]
        if "next_batch" not in r:
            break
        r = page(r["next_batch"])
    same(found, sent, "shorter texts first, nobody twice")
