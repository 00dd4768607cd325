"""Push rules, unread counts, pushers, notifications."""

import json

from harness import LocalSite, check, eventually, find, in_parallel, joined, ok, quote, refused, same, unique

SMOKE = ["test_unread_counts", "test_a_pusher_is_called"]


def pair(server, **kw):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat", **kw)
    v.join(room)
    return u, v, room


def counts(user, room, **query):
    part = joined(user.get("sync", timeout=0, **query), room)
    n = part["unread_notifications"]
    return n.get("notification_count", 0), n.get("highlight_count", 0)


def settle(user, room, event):
    user.receipt(room, event)


def test_default_rules(server):
    u = server.register()
    rules = u.get("pushrules/")["global"]
    same(set(rules), {"override", "content", "room", "sender", "underride"})
    override = [r["rule_id"] for r in rules["override"]]
    same(override[0], ".m.rule.master")
    for rule in (".m.rule.suppress_notices", ".m.rule.invite_for_me", ".m.rule.member_event", ".m.rule.is_user_mention",
                 ".m.rule.is_room_mention", ".m.rule.tombstone", ".m.rule.reaction", ".m.rule.room.server_acl", ".m.rule.suppress_edits"):
        check(rule in override, rule)
    same([r["rule_id"] for r in rules["underride"]],
         [".m.rule.call", ".m.rule.encrypted_room_one_to_one", ".m.rule.room_one_to_one", ".m.rule.message", ".m.rule.encrypted"])
    master = rules["override"][0]
    same((master["enabled"], master["default"], master["actions"], master["conditions"]), (False, True, [], []))
    same(u.get("pushrules/global/"), rules)
    mention = find(rules["override"], rule_id=".m.rule.is_user_mention")
    same(mention["conditions"], [{"kind": "event_property_contains", "key": "content.m\\.mentions.user_ids", "value": u.id}])


def test_rules_are_made_changed_and_deleted(server):
    u = server.register()
    u.sync()
    path = "pushrules/global/content/cake"
    refused(u.call("GET", path), 404, "M_NOT_FOUND")
    u.put(path, {"pattern": "cake", "actions": ["notify", {"set_tweak": "highlight"}]})
    rule = u.get(path)
    same((rule["rule_id"], rule["pattern"], rule["enabled"], rule["default"]), ("cake", "cake", True, False))
    check(find(u.sync()["account_data"]["events"], type="m.push_rules"), "a change reaches sync")
    same(u.get(path + "/enabled"), {"enabled": True})
    u.put(path + "/enabled", {"enabled": False})
    same(u.get(path)["enabled"], False)
    u.put(path + "/actions", {"actions": ["notify"]})
    same(u.get(path + "/actions"), {"actions": ["notify"]})
    u.delete(path)
    refused(u.call("GET", path), 404, "M_NOT_FOUND")
    refused(u.call("DELETE", path), 404, "M_NOT_FOUND")


def test_the_order_of_rules(server):
    u = server.register()
    for name in ("a", "b"):
        u.put(f"pushrules/global/override/{name}", {"conditions": [], "actions": []})
    u.put("pushrules/global/override/c", {"conditions": [], "actions": []}, after="b")
    u.put("pushrules/global/override/d", {"conditions": [], "actions": []}, before="a")
    own = [r["rule_id"] for r in u.get("pushrules/")["global"]["override"] if not r["default"]]
    same(own, ["b", "c", "d", "a"])
    refused(u.call("PUT", "pushrules/global/override/e", {"conditions": [], "actions": []}, {"after": "nowhere"}), (400, 404))


def test_push_rule_errors(server):
    u = server.register()
    body = {"conditions": [], "actions": ["notify"]}
    refused(u.call("PUT", "pushrules/global/override/.mine", body), 400)
    refused(u.call("PUT", "pushrules/global/nokind/x", body), (400, 404))
    refused(u.call("GET", "pushrules/global/nokind/x"), (400, 404))
    refused(u.call("PUT", "pushrules/global/override/x", {"conditions": []}), 400)
    refused(u.call("PUT", "pushrules/global/content/x", {"actions": []}), 400)
    refused(u.call("PUT", "pushrules/global/override/x", {"conditions": 3, "actions": []}), 400)
    refused(u.call("DELETE", "pushrules/global/override/.m.rule.master"), (400, 404))
    refused(u.call("PUT", "pushrules/global/override/.m.rule.none/enabled", {"enabled": True}), 404, "M_NOT_FOUND")
    u.put("pushrules/global/override/.m.rule.master/enabled", {"enabled": True})
    same(u.get("pushrules/global/override/.m.rule.master/enabled"), {"enabled": True})


def test_unread_counts(server):
    u, v, room = pair(server)
    v.receipt(room, u.send(room, "start"))
    same(counts(v, room), (0, 0))
    u.send(room, "one"), u.send(room, "two")
    same(counts(v, room), (2, 0))
    same(counts(u, room), (0, 0), "one's own messages do not count")
    last = u.send(room, {"msgtype": "m.text", "body": "hey", "m.mentions": {"user_ids": [v.id]}})
    same(counts(v, room), (3, 1))
    v.receipt(room, last)
    same(counts(v, room), (0, 0))
    u.send(room, "four")
    v.send(room, "I am here")
    same(counts(v, room), (0, 0), "sending reads what was before")


def test_a_private_receipt_resets_counts(server):
    u, v, room = pair(server)
    e = u.send(room, "x")
    v.receipt(room, e, "m.read.private")
    same(counts(v, room), (0, 0))


def test_notices_reactions_edits_and_state_do_not_count(server):
    u, v, room = pair(server)
    first = u.send(room, "x")
    v.receipt(room, first)
    u.send(room, {"msgtype": "m.notice", "body": "n"})
    u.send(room, {"m.relates_to": {"rel_type": "m.annotation", "event_id": first, "key": "a"}}, kind="m.reaction")
    u.send(room, {"msgtype": "m.text", "body": "* y", "m.new_content": {"msgtype": "m.text", "body": "y"},
                  "m.relates_to": {"rel_type": "m.replace", "event_id": first}})
    u.state(room, "m.room.topic", {"topic": "t"})
    same(counts(v, room), (0, 0))


def test_encrypted_messages_count(server):
    u, v, room = pair(server)
    v.receipt(room, u.send(room, "x"))
    u.send(room, {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x", "session_id": "s", "sender_key": "k", "device_id": "d"},
           kind="m.room.encrypted")
    same(counts(v, room), (1, 0))


def test_keywords_names_and_room_mentions_highlight(server):
    u, v, room = pair(server)
    v.receipt(room, u.send(room, "x"))
    v.put("pushrules/global/content/cake", {"pattern": "cake", "actions": ["notify", {"set_tweak": "highlight"}]})
    u.send(room, "CAKE, anyone?")
    same(counts(v, room), (1, 1))
    u.send(room, "pancakes")
    same(counts(v, room), (2, 1), "words, not parts of words")
    u.send(room, {"msgtype": "m.text", "body": "all", "m.mentions": {"room": True}})
    same(counts(v, room), (3, 2))


def test_a_room_mention_needs_power(server):
    u, v, room = pair(server)
    u.receipt(room, v.send(room, "x"))
    v.send(room, {"msgtype": "m.text", "body": "all", "m.mentions": {"room": True}})
    same(counts(u, room), (1, 0))


def test_room_rules_silence(server):
    u, v, room = pair(server)
    v.receipt(room, u.send(room, "x"))
    v.put(f"pushrules/global/room/{quote(room)}", {"actions": []})
    u.send(room, "quiet")
    same(counts(v, room), (0, 0))
    v.delete(f"pushrules/global/room/{quote(room)}")
    v.put(f"pushrules/global/sender/{quote(u.id)}", {"actions": ["dont_notify"]})
    u.send(room, "quiet too")
    same(counts(v, room), (0, 0))
    v.delete(f"pushrules/global/sender/{quote(u.id)}")
    v.put("pushrules/global/override/.m.rule.master/enabled", {"enabled": True})
    u.send(room, "still quiet")
    same(counts(v, room), (0, 0))


def test_conditions(server):
    u, v, room = pair(server)
    v.receipt(room, u.send(room, "x"))
    v.put(f"pushrules/global/room/{quote(room)}", {"actions": []})
    v.put("pushrules/global/override/prop", {"conditions": [{"kind": "event_property_is", "key": "content.n", "value": 7}], "actions": ["notify"]})
    v.put("pushrules/global/override/glob", {"conditions": [{"kind": "event_match", "key": "type", "pattern": "org.example.g*"}], "actions": ["notify"]})
    v.put("pushrules/global/override/has", {"conditions": [{"kind": "event_property_contains", "key": "content.list", "value": "a"}], "actions": ["notify"]})
    for n, (content, kind) in enumerate((({"n": 7}, "org.example.a"), ({}, "org.example.good"), ({"list": ["b", "a"]}, "org.example.b"))):
        u.send(room, content, kind=kind)
        same(counts(v, room), (n + 1, 0), f"{content}")
    u.send(room, {"n": "7", "list": "a"}, kind="org.example.c")
    same(counts(v, room), (3, 0), "of another type")
    v.put("pushrules/global/override/few", {"conditions": [{"kind": "room_member_count", "is": "<3"}], "actions": ["notify"]})
    u.send(room, "two members")
    same(counts(v, room), (4, 0))
    v.put("pushrules/global/override/few", {"conditions": [{"kind": "room_member_count", "is": ">=3"}], "actions": ["notify"]})
    v.put("pushrules/global/override/unknown", {"conditions": [{"kind": "org.example.unknown"}], "actions": ["notify"]})
    u.send(room, "two members")
    same(counts(v, room), (4, 0), "an unknown condition never matches")


def test_an_invitation_notifies(server):
    u, v = server.users(2)
    room = u.create_room()
    u.invite(room, v)
    got = eventually(lambda: v.get("notifications")["notifications"], "a notification")
    same((got[0]["event"]["type"], got[0]["room_id"]), ("m.room.member", room))


def test_thread_counts(server):
    u, v, room = pair(server)
    root = u.send(room, "root")
    v.receipt(room, root)
    f = json.dumps({"room": {"timeline": {"unread_thread_notifications": True}}})
    t = u.send(room, {"msgtype": "m.text", "body": "t", "m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    u.send(room, "main")
    part = joined(v.get("sync", timeout=0, filter=f), room)
    same(part["unread_notifications"]["notification_count"], 1, "the main timeline alone")
    same(part["unread_thread_notifications"][root]["notification_count"], 1)
    same(counts(v, room), (2, 0), "without the filter, everything")
    v.receipt(room, t, thread=root)
    part = joined(v.get("sync", timeout=0, filter=f), room)
    same(part["unread_notifications"]["notification_count"], 1)
    same(part.get("unread_thread_notifications", {}).get(root, {}).get("notification_count", 0), 0)


def test_an_unthreaded_receipt_reads_everything_before(server):
    u, v, room = pair(server)
    root = u.send(room, "root")
    u.send(room, {"msgtype": "m.text", "body": "t", "m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    v.receipt(room, u.send(room, "last"))
    same(counts(v, room), (0, 0))


def test_counts_reach_an_incremental_sync(server):
    u, v, room = pair(server)
    v.sync()
    e = u.send(room, "x")
    part = v.sync_until(lambda s: joined(s, room))
    same(part["unread_notifications"]["notification_count"], part["unread_notifications"]["notification_count"])
    check(part["unread_notifications"]["notification_count"] >= 1)
    v.receipt(room, e)
    v.sync_until(lambda s: joined(s, room).get("unread_notifications", {}).get("notification_count") == 0 and s)


def test_notifications(server):
    u, v, room = pair(server)
    v.receipt(room, u.send(room, "x"))
    sent = [u.send(room, f"n{n}") for n in range(3)]
    mention = u.send(room, {"msgtype": "m.text", "body": "hey", "m.mentions": {"user_ids": [v.id]}})
    got = v.get("notifications", limit=50)["notifications"]
    same([n["event"]["event_id"] for n in got][:4], [mention, *sent[::-1]])
    check(all(not n["read"] and n["room_id"] == room and "ts" in n and "notify" in n["actions"] for n in got[:4]))
    same([n["event"]["event_id"] for n in v.get("notifications", only="highlight")["notifications"]], [mention])
    page = v.get("notifications", limit=2)
    rest = v.get("notifications", limit=2, **{"from": page["next_token"]})
    same([n["event"]["event_id"] for n in rest["notifications"]], sent[1::-1])
    v.receipt(room, mention)
    check(all(n["read"] for n in v.get("notifications")["notifications"]))


def pusher(user, url, key=None, **data):
    body = {"kind": "http", "app_id": "org.example.app", "app_display_name": "App", "device_display_name": "Phone", "lang": "en",
            "pushkey": key or unique("pk"), "data": {"url": url, **data}}
    user.post("pushers/set", body)
    return body


def test_a_pusher_is_called(server):
    u, v, room = pair(server)
    with LocalSite(lambda *_: (200, {"Content-Type": "application/json"}, b'{"rejected": []}')) as gateway:
        p = pusher(v, f"{gateway.base}/_matrix/push/v1/notify")
        listed = v.get("pushers")["pushers"]
        same((listed[0]["pushkey"], listed[0]["kind"]), (p["pushkey"], "http"))
        e = u.send(room, {"msgtype": "m.text", "body": "hey", "m.mentions": {"user_ids": [v.id]}})

        def call():
            return next((json.loads(b)["notification"] for _, path, b in gateway.requests
                         if path == "/_matrix/push/v1/notify" and json.loads(b)["notification"].get("event_id") == e), None)
        n = eventually(call, "the gateway is called")
        same((n["room_id"], n["sender"], n["type"], n["content"]["body"]), (room, u.id, "m.room.message", "hey"))
        device = n["devices"][0]
        same((device["app_id"], device["pushkey"]), (p["app_id"], p["pushkey"]))
        check(device["tweaks"].get("highlight") is True or "highlight" in device["tweaks"], f"{device}")
        check(n["counts"]["unread"] >= 1)
        v.post("pushers/set", {"app_id": p["app_id"], "pushkey": p["pushkey"], "kind": None})
        same(v.get("pushers"), {"pushers": []})


def test_a_pusher_may_ask_for_ids_only(server):
    u, v, room = pair(server)
    with LocalSite(lambda *_: (200, {}, b"{}")) as gateway:
        pusher(v, f"{gateway.base}/_matrix/push/v1/notify", format="event_id_only")
        e = u.send(room, "secret words")
        body = eventually(lambda: next((b for _, _, b in gateway.requests if e.encode() in b), None), "the gateway is called")
        check(b"secret words" not in body)
        check("content" not in json.loads(body)["notification"])


def test_a_rejected_push_key_is_removed(server):
    u, v, room = pair(server)
    key = unique("rejected")
    with LocalSite(lambda *_: (200, {"Content-Type": "application/json"}, json.dumps({"rejected": [key]}).encode())) as gateway:
        pusher(v, f"{gateway.base}/_matrix/push/v1/notify", key)
        u.send(room, "x")
        eventually(lambda: v.get("pushers")["pushers"] == [], "the pusher is gone")


def test_a_failing_gateway_is_asked_again(server):
    u, v, room = pair(server)
    answers = iter([500, 500])
    with LocalSite(lambda *_: (next(answers, 200), {"Content-Type": "application/json"}, b"{}")) as gateway:
        pusher(v, f"{gateway.base}/_matrix/push/v1/notify")
        e = u.send(room, "x")
        eventually(lambda: len([1 for _, _, b in gateway.requests if e.encode() in b]) >= 2, "a second try", seconds=20)


def test_pusher_errors(server):
    u = server.register()
    good = {"kind": "http", "app_id": "a", "app_display_name": "A", "device_display_name": "D", "lang": "en", "pushkey": "k",
            "data": {"url": "https://push.example/_matrix/push/v1/notify"}}
    u.post("pushers/set", good)
    for change in ({"data": {}}, {"data": {"url": "https://push.example/elsewhere"}}, {"data": {"url": "not a url"}}, {"app_id": None},
                   {"pushkey": None}, {"lang": 5}, {"app_id": "x" * 65}, {"pushkey": "x" * 513}):
        body = {k: v for k, v in {**good, **change}.items() if v is not None}
        refused(u.call("POST", "pushers/set", body), 400)
    refused(u.call("POST", "pushers/set", {"pushkey": "k"}), 400)
    check(ok(u.call("GET", "pushers"))["pushers"])


def calls(gateway, **wanted):
    """The notifications that a gateway was told of, as objects."""
    told = [json.loads(b)["notification"] for _, _, b in gateway.requests]
    return [n for n in told if all(n.get(k) == v for k, v in wanted.items())]


def quiet_gateway():
    return LocalSite(lambda *_: (200, {"Content-Type": "application/json"}, b"{}"))


def test_rules_of_two_devices_do_not_undo_each_other(server):
    u = server.register()
    in_parallel([lambda n=n: u.put(f"pushrules/global/override/r{n}", {"conditions": [], "actions": []}) for n in range(8)])
    own = {r["rule_id"] for r in u.get("pushrules/")["global"]["override"] if not r["default"]}
    same(own, {f"r{n}" for n in range(8)})


def test_a_first_sync_has_the_rules(server):
    u = server.register()
    e = find(u.get("sync", timeout=0)["account_data"]["events"], type="m.push_rules")
    same(e["content"], u.get("pushrules/"))
    same(u.get(f"user/{quote(u.id)}/account_data/m.push_rules"), e["content"])


def test_an_invitation_is_pushed(server):
    u, v = server.users(2)
    room = u.create_room(name="Kitchen")
    with quiet_gateway() as gateway:
        pusher(v, f"{gateway.base}/_matrix/push/v1/notify")
        u.invite(room, v)
        n = eventually(lambda: calls(gateway, type="m.room.member"), "a call for the invitation")[0]
        same((n["room_id"], n["user_is_target"], n["room_name"], n["content"]["membership"]), (room, True, "Kitchen", "invite"))


def test_the_badge_follows_reading_and_ones_own_messages_are_not_pushed(server):
    u, v, room = pair(server)
    with quiet_gateway() as gateway:
        pusher(v, f"{gateway.base}/_matrix/push/v1/notify")
        first = u.send(room, "one")
        eventually(lambda: calls(gateway, event_id=first), "the first call")
        last = u.send(room, "two")
        n = eventually(lambda: calls(gateway, event_id=last), "the second call")[0]
        unread = n["counts"]["unread"]
        check(unread >= 2)
        v.receipt(room, last)
        badge = eventually(lambda: [n for n in calls(gateway) if "event_id" not in n], "a call for the badge alone")[0]
        same(badge["counts"]["unread"], 0)
        own = v.send(room, "mine")
        after = u.send(room, "three")
        eventually(lambda: calls(gateway, event_id=after), "the third call")
        check(not calls(gateway, event_id=own))


def test_what_the_rules_silence_is_not_pushed(server):
    u, v, room = pair(server)
    with quiet_gateway() as gateway:
        pusher(v, f"{gateway.base}/_matrix/push/v1/notify")
        notice = u.send(room, {"msgtype": "m.notice", "body": "n"})
        v.put(f"pushrules/global/room/{quote(room)}", {"actions": []})
        silenced = u.send(room, "quiet")
        v.delete(f"pushrules/global/room/{quote(room)}")
        e = u.send(room, "loud")
        eventually(lambda: calls(gateway, event_id=e), "a call")
        check(not calls(gateway, event_id=notice) and not calls(gateway, event_id=silenced))
        v.leave(room)
        gone = u.send(room, "gone")
        v.join(room)
        back = u.send(room, "back")
        eventually(lambda: calls(gateway, event_id=back), "a call after coming back")
        check(not calls(gateway, event_id=gone))


def test_a_pusher_goes_with_its_device(server):
    u = server.register()
    phone = u.login()
    url = "https://push.example/_matrix/push/v1/notify"
    pusher(u, url, "laptop"), pusher(phone, url, "phone")
    same({p["pushkey"] for p in u.get("pushers")["pushers"]}, {"laptop", "phone"})
    phone.post("logout")
    same([p["pushkey"] for p in u.get("pushers")["pushers"]], ["laptop"])


def test_a_push_key_changes_hands_unless_appended(server):
    u, v = server.users(2)
    url, key = "https://push.example/_matrix/push/v1/notify", unique("key")
    body = pusher(u, url, key)
    v.post("pushers/set", {**body, "append": True})
    same([len(x.get("pushers")["pushers"]) for x in (u, v)], [1, 1])
    v.post("pushers/set", {**body, "append": False})
    same([len(x.get("pushers")["pushers"]) for x in (u, v)], [0, 1])
