"""Profiles and the user directory."""

from harness import check, eventually, find, ok, quote, refused, room_state, same, timeline, unique

SMOKE = ["test_display_name_and_avatar"]


def path(user, key=""):
    return f"profile/{quote(user.id)}" + (f"/{quote(key)}" if key else "")


def test_display_name_and_avatar(server):
    u, other = server.users(2)
    u.put(path(u, "displayname"), {"displayname": "해치 🔥"})
    u.put(path(u, "avatar_url"), {"avatar_url": "mxc://localhost/abc"})
    same(u.get(path(u)), {"displayname": "해치 🔥", "avatar_url": "mxc://localhost/abc"})
    same(other.get(path(u, "displayname")), {"displayname": "해치 🔥"})
    same(ok(server.call("GET", "/_matrix/client/v3/" + path(u, "avatar_url"))), {"avatar_url": "mxc://localhost/abc"})


def test_profile_errors(server):
    u, other = server.users(2)
    refused(u.call("PUT", path(other, "displayname"), {"displayname": "x"}), 403, "M_FORBIDDEN")
    refused(u.call("GET", f"profile/{quote('@no-one-' + unique() + ':localhost')}"), 404, "M_NOT_FOUND")
    refused(u.call("PUT", path(u, "displayname"), {"displayname": 5}), 400)
    refused(u.call("PUT", path(u, "displayname"), {}), 400)
    refused(u.call("PUT", path(u, "displayname"), "not json"), 400, "M_NOT_JSON")


def test_custom_profile_fields(server):
    u = server.register()
    u.put(path(u, "m.tz"), {"m.tz": "Asia/Seoul"})
    same(u.get(path(u, "m.tz")), {"m.tz": "Asia/Seoul"})
    u.put(path(u, "org.example.job"), {"org.example.job": {"title": "guard"}})
    same(u.get(path(u))["org.example.job"], {"title": "guard"})
    u.delete(path(u, "org.example.job"))
    refused(u.call("GET", path(u, "org.example.job")), 404, "M_NOT_FOUND")
    check("org.example.job" not in u.get(path(u)))
    refused(u.call("PUT", path(u, "org.example.big"), {"org.example.big": "x" * 70000}), (400, 413), ("M_PROFILE_TOO_LARGE", "M_TOO_LARGE"))
    refused(u.call("PUT", path(u, "m.tz"), {"wrong": "x"}), 400)
    refused(u.call("PUT", path(u, "x" * 300), {"x" * 300: 1}), 400, ("M_KEY_TOO_LARGE", "M_INVALID_PARAM", "M_BAD_JSON"))


def test_a_new_name_reaches_rooms(server):
    u, other = server.users(2)
    room = u.create_room(preset="public_chat")
    other.join(room)
    other.sync()
    u.put(path(u, "displayname"), {"displayname": "Renamed"})
    e = other.sync_until(lambda r: find(timeline(r, room) + room_state(r, room), type="m.room.member", state_key=u.id))
    same(e["content"]["displayname"], "Renamed")
    same(e["content"]["membership"], "join")
    same(e["unsigned"]["prev_content"]["membership"], "join")


def test_profile_goes_into_new_memberships(server):
    u = server.register(display="Named")
    u.put(path(u, "avatar_url"), {"avatar_url": "mxc://localhost/a"})
    room = u.create_room()
    content = u.get_state(room, "m.room.member", u.id)
    same((content["displayname"], content["avatar_url"]), ("Named", "mxc://localhost/a"))


def test_user_directory_finds_by_name_and_id(server):
    word = unique("kim")
    u, other = server.register(display=f"Haneul {word}"), server.register()
    room = u.create_room(preset="public_chat", visibility="public")
    other.join(room)

    def search(term, **kw):
        return other.post("user_directory/search", {"search_term": term, **kw})
    r = eventually(lambda: (lambda x: x if x["results"] else None)(search(word)), "the directory knows the user")
    same(r["results"][0]["user_id"], u.id)
    same(r["results"][0]["display_name"], f"Haneul {word}")
    same(r["limited"], False)
    check(any(x["user_id"] == u.id for x in search(word.upper())["results"]), "case does not matter")
    check(any(x["user_id"] == u.id for x in search(u.local)["results"]), "the local part is found")
    same(search(unique("nobody"))["results"], [])


def test_user_directory_limit_and_errors(server):
    word = unique("many")
    other = server.register()
    room = other.create_room(preset="public_chat", visibility="public")
    for _ in range(4):
        server.register(display=f"X {word}").join(room)

    def both():
        r = other.post("user_directory/search", {"search_term": word, "limit": 2})
        return r if len(r["results"]) == 2 else None
    r = eventually(both, "two results")
    same(r["limited"], True)
    refused(other.call("POST", "user_directory/search", {}), 400)


def test_mutual_rooms(server):
    a, b = server.users(2)
    room = a.create_room(preset="public_chat")
    b.join(room)
    r = a.call("GET", "/_matrix/client/v1/mutual_rooms", query={"user_id": b.id})
    if r.status == 404:
        return refused(r, 404, "M_UNRECOGNIZED") and None
    same(ok(r)["joined"], [room])
