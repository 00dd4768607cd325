"""Aliases, the public room list, spaces, room summaries."""

from harness import check, ok, quote, refused, same, unique

SMOKE = ["test_aliases"]
V1 = "/_matrix/client/v1/"


def alias_name():
    return f"#{unique('al')}:localhost"


def test_aliases(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    a = alias_name()
    refused(u.call("GET", f"directory/room/{quote(a)}"), 404, "M_NOT_FOUND")
    u.put(f"directory/room/{quote(a)}", {"room_id": room})
    r = ok(server.call("GET", f"/_matrix/client/v3/directory/room/{quote(a)}"))
    same((r["room_id"], r["servers"]), (room, ["localhost"]))
    refused(v.call("PUT", f"directory/room/{quote(a)}", {"room_id": room}), 409)
    same(u.get(f"rooms/{quote(room)}/aliases"), {"aliases": [a]})
    refused(v.call("DELETE", f"directory/room/{quote(a)}"), 403, "M_FORBIDDEN")
    u.delete(f"directory/room/{quote(a)}")
    refused(u.call("GET", f"directory/room/{quote(a)}"), 404, "M_NOT_FOUND")
    refused(u.call("DELETE", f"directory/room/{quote(a)}"), 404, "M_NOT_FOUND")


def test_alias_errors(server):
    u, v = server.users(2)
    room = u.create_room()
    for bad in ("nonsense", "#no-colon", "#x:elsewhere.example", "#" + "x" * 260 + ":localhost"):
        refused(u.call("PUT", f"directory/room/{quote(bad)}", {"room_id": room}), (400, 403))
    refused(u.call("PUT", f"directory/room/{quote(alias_name())}", {}), 400)
    refused(u.call("PUT", f"directory/room/{quote(alias_name())}", {"room_id": 5}), 400)
    refused(v.call("GET", f"rooms/{quote(room)}/aliases"), 403, "M_FORBIDDEN")
    world = u.create_room(initial_state=[{"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}])
    ok(v.call("GET", f"rooms/{quote(world)}/aliases"))


def test_a_moderator_may_delete_an_alias(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    a = alias_name()
    v.put(f"directory/room/{quote(a)}", {"room_id": room})
    u.delete(f"directory/room/{quote(a)}")


def listed(user, room, **body):
    token = None
    for _ in range(100):
        r = user.post("publicRooms", {"limit": 100, **body, **({"since": token} if token else {})})
        for entry in r["chunk"]:
            if entry["room_id"] == room:
                return entry
        token = r.get("next_batch")
        if not token:
            return None
    return None


def test_public_rooms(server):
    u, v = server.users(2)
    word = unique("word")
    room = u.create_room(visibility="public", name=f"The {word} room", topic="tea", room_alias_name=word)
    v.join(room)
    entry = listed(u, room)
    same((entry["name"], entry["topic"], entry["num_joined_members"]), (f"The {word} room", "tea", 2))
    same((entry["world_readable"], entry["guest_can_join"], entry["join_rule"]), (False, False, "public"))
    same(entry["canonical_alias"], f"#{word}:localhost")
    check(listed(v, room, filter={"generic_search_term": word.upper()}))
    check(not listed(v, room, filter={"generic_search_term": unique("none")}))
    check(not listed(v, room, filter={"room_types": ["m.space"]}))
    check(listed(v, room, filter={"room_types": [None]}))
    ok(server.call("GET", "/_matrix/client/v3/publicRooms?limit=1"))


def test_public_rooms_page(server):
    u = server.register()
    word = unique("page")
    rooms = [u.create_room(visibility="public", name=f"{word} {n}") for n in range(5)]
    seen, token = [], None
    for _ in range(10):
        r = u.post("publicRooms", {"limit": 2, "filter": {"generic_search_term": word}, **({"since": token} if token else {})})
        check(len(r["chunk"]) <= 2)
        seen += [c["room_id"] for c in r["chunk"]]
        token = r.get("next_batch")
        if not token:
            break
    same(sorted(seen), sorted(rooms))


def test_directory_visibility(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    path = f"directory/list/room/{quote(room)}"
    same(ok(server.call("GET", f"/_matrix/client/v3/{path}")), {"visibility": "private"})
    u.put(path, {"visibility": "public"})
    same(u.get(path), {"visibility": "public"})
    check(listed(v, room))
    v.join(room)
    refused(v.call("PUT", path, {"visibility": "private"}), 403, "M_FORBIDDEN")
    refused(u.call("PUT", path, {"visibility": "sideways"}), 400)
    u.put(path, {"visibility": "private"})
    check(not listed(v, room))
    refused(server.call("GET", f"/_matrix/client/v3/directory/list/room/{quote('!none:localhost')}"), 404, "M_NOT_FOUND")


def space(user, **kw):
    return user.create_room(preset="public_chat", creation_content={"type": "m.space"}, **kw)


def child(user, parent, room, **content):
    user.state(parent, "m.space.child", {"via": ["localhost"], **content}, room)


def test_hierarchy(server):
    u, v = server.users(2)
    root, sub = space(u, name="Root"), space(u, name="Sub")
    a, b = u.create_room(preset="public_chat", name="A"), u.create_room(preset="public_chat", name="B")
    hidden = u.create_room(name="Hidden")
    child(u, root, a, order="2", suggested=True), child(u, root, sub, order="1"), child(u, sub, b), child(u, root, hidden, order="3")
    path = f"{V1}rooms/{quote(root)}/hierarchy"
    rooms = u.get(path)["rooms"]
    same([r["room_id"] for r in rooms], [root, sub, b, a, hidden], "depth first, by order")
    top = rooms[0]
    same((top["name"], top["room_type"], top["num_joined_members"], top["join_rule"]), ("Root", "m.space", 1, "public"))
    same({e["state_key"] for e in top["children_state"]}, {a, sub, hidden})
    check(all({"content", "origin_server_ts", "sender", "state_key", "type"} <= set(e) for e in top["children_state"]))
    same([r["room_id"] for r in v.get(path)["rooms"]], [root, sub, b, a], "not what one may not see")
    same([r["room_id"] for r in u.get(path, max_depth=1)["rooms"]], [root, sub, a, hidden])
    same([r["room_id"] for r in u.get(path, suggested_only="true")["rooms"]], [root, a])
    seen, token = [], None
    for _ in range(10):
        page = u.get(path, limit=2, **({"from": token} if token else {}))
        seen += [r["room_id"] for r in page["rooms"]]
        token = page.get("next_batch")
        if not token:
            break
    same(seen, [root, sub, b, a, hidden])


def test_hierarchy_survives_cycles_and_removed_children(server):
    u = server.register()
    one, two = space(u), space(u)
    child(u, one, two), child(u, two, one)
    same([r["room_id"] for r in u.get(f"{V1}rooms/{quote(one)}/hierarchy")["rooms"]], [one, two])
    u.state(one, "m.space.child", {}, two)
    same([r["room_id"] for r in u.get(f"{V1}rooms/{quote(one)}/hierarchy")["rooms"]], [one])


def test_hierarchy_errors(server):
    u, v = server.users(2)
    private = u.create_room(creation_content={"type": "m.space"})
    refused(v.call("GET", f"{V1}rooms/{quote(private)}/hierarchy"), 403, "M_FORBIDDEN")
    for query in ({"limit": "x"}, {"max_depth": "-1"}, {"from": "nonsense"}):
        refused(u.call("GET", f"{V1}rooms/{quote(private)}/hierarchy", query=query), 400)


def test_room_summary(server):
    u, v = server.users(2)
    word = unique("sum")
    room = u.create_room(preset="public_chat", name="Summed", topic="T", room_alias_name=word, room_version="11")
    for user in (u, v):
        s = user.get(f"{V1}room_summary/{quote(room)}")
        same((s["room_id"], s["name"], s["topic"], s["num_joined_members"], s["join_rule"]), (room, "Summed", "T", 1, "public"))
        same(s["room_version"], "11")
    same(u.get(f"{V1}room_summary/{quote(room)}")["membership"], "join")
    same(v.get(f"{V1}room_summary/{quote(f'#{word}:localhost')}")["room_id"], room)
    ok(server.call("GET", f"{V1}room_summary/{quote(room)}"))
    private = u.create_room()
    refused(v.call("GET", f"{V1}room_summary/{quote(private)}"), (403, 404))
    refused(v.call("GET", f"{V1}room_summary/{quote('!none:localhost')}"), 404)
    u.invite(private, v)
    same(v.get(f"{V1}room_summary/{quote(private)}")["membership"], "invite")
