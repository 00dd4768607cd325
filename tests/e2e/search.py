"""Searching messages."""

from harness import check, ids, refused, same, unique

SMOKE = []


def search(user, term, **criteria):
    query = criteria.pop("next_batch", None)
    r = user.post("search", {"search_categories": {"room_events": {"search_term": term, **criteria}}}, **({"next_batch": query} if query else {}))
    return r["search_categories"]["room_events"]


def found(r):
    return [x["result"]["event_id"] for x in r["results"]]


def test_words_are_found(server):
    u = server.register()
    room = u.create_room()
    word = unique("tiger")
    e = u.send(room, f"a {word} in the yard")
    u.send(room, "nothing")
    r = search(u, word.upper())
    same((found(r), r["count"]), ([e], 1))
    check(r["results"][0]["rank"] is not None and r.get("highlights") is not None)
    same(found(search(u, f"yard {word}")), [e], "every word, in any order")
    same(found(search(u, unique("none"))), [])


def test_names_and_topics_are_found(server):
    u = server.register()
    name, topic = unique("name"), unique("topic")
    room = u.create_room(name=f"x {name}", topic=f"y {topic}")
    same(len(search(u, name)["results"]), 1)
    same(len(search(u, topic, keys=["content.topic"])["results"]), 1)
    same(len(search(u, topic, keys=["content.body"])["results"]), 0)
    check(room)


def test_only_ones_own_rooms(server):
    u, v = server.users(2)
    word = unique("secret")
    room = u.create_room(preset="public_chat")
    e = u.send(room, word)
    same(found(search(v, word)), [])
    v.join(room)
    same(found(search(v, word)), [e])


def test_filters_order_and_paging(server):
    u = server.register()
    word = unique("many")
    a, b = u.create_room(), u.create_room()
    sent = [u.send(a if n % 2 else b, f"{word} {n}") for n in range(7)]
    same(found(search(u, word, order_by="recent", filter={"limit": 10})), sent[::-1])
    same(set(found(search(u, word, filter={"rooms": [a]}))), set(sent[1::2]))
    same(found(search(u, word, filter={"senders": ["@none:localhost"]})), [])
    page = search(u, word, order_by="recent", filter={"limit": 3})
    same(found(page), sent[:3:-1])
    rest = search(u, word, order_by="recent", filter={"limit": 3}, next_batch=page["next_batch"])
    same(found(rest), sent[3:0:-1])


def test_context_and_groups(server):
    u = server.register()
    room = u.create_room()
    word = unique("ctx")
    u.send(room, "before")
    u.send(room, word)
    after = u.send(room, "after")
    r = search(u, word, event_context={"before_limit": 1, "after_limit": 1, "include_profile": True}, include_state=True,
               groupings={"group_by": [{"key": "room_id"}, {"key": "sender"}]})
    context = r["results"][0]["context"]
    same([e["content"]["body"] for e in context["events_before"]], ["before"])
    same(ids(context["events_after"]), [after])
    check(u.id in context["profile_info"])
    check(room in r["state"])
    same(set(r["groups"]["room_id"]), {room})
    same(set(r["groups"]["sender"]), {u.id})


def test_redacted_messages_are_not_found(server):
    u = server.register()
    room = u.create_room()
    word = unique("gone")
    u.redact(room, u.send(room, word))
    same(found(search(u, word)), [])


def test_errors(server):
    u = server.register()
    refused(u.call("POST", "search", {}), 400)
    refused(u.call("POST", "search", {"search_categories": {"room_events": {}}}), 400)
    refused(u.call("POST", "search", {"search_categories": {"room_events": {"search_term": 5}}}), 400)
    same(search(u, "\"%_*'")["results"], [], "signs of a query language are only signs")
