"""python3-matrix-nio as a client: an encrypted chat between two users, over the r0 paths and ?access_token=."""

import asyncio
import io
import os
import sys
import tempfile

from nio import (AsyncClient, AsyncClientConfig, DownloadResponse, JoinResponse, KeysUploadResponse, LoginResponse, MatrixRoom, MegolmEvent,
                 RegisterResponse, RoomCreateResponse, RoomGetEventResponse, RoomMessagesResponse, RoomMessageText, RoomRedactResponse,
                 RoomSendResponse, SyncResponse, UploadResponse)

URL = os.environ.get("HAECHI_URL", "http://127.0.0.1:8008")


def expect(response, kind, what):
    if not isinstance(response, kind):
        raise AssertionError(f"{what}: {response}")
    print(f"  ok {what}", flush=True)
    return response


def check(condition, what):
    if not condition:
        raise AssertionError(what)
    print(f"  ok {what}", flush=True)


async def client(store, name, password="nio-password-1"):
    config = AsyncClientConfig(encryption_enabled=True, store_sync_tokens=True)
    c = AsyncClient(URL, name, store_path=store, config=config)
    expect(await c.register(name, password, "nio"), RegisterResponse, f"{name} registers")
    await c.logout()
    await c.close()
    c = AsyncClient(URL, f"@{name}:localhost", store_path=store, config=config)
    expect(await c.login(password, device_name="nio"), LoginResponse, f"{name} logs in")
    check(c.olm is not None, "encryption is at hand")
    if c.should_upload_keys:
        expect(await c.keys_upload(), KeysUploadResponse, f"{name} uploads keys")
    expect(await c.sync(timeout=0, full_state=True), SyncResponse, f"{name} syncs")
    return c


async def settle(*clients, rounds=4):
    """What nio's sync_forever does between syncs."""
    for _ in range(rounds):
        for c in clients:
            expect_quiet(await c.sync(timeout=300))
            if c.should_upload_keys:
                await c.keys_upload()
            if c.should_query_keys:
                await c.keys_query()
            if c.should_claim_keys:
                await c.keys_claim(c.get_users_for_key_claiming())
            await c.send_to_device_messages()


def expect_quiet(response):
    if not isinstance(response, SyncResponse):
        raise AssertionError(f"sync: {response}")


async def scenario():
    with tempfile.TemporaryDirectory() as a_store, tempfile.TemporaryDirectory() as b_store:
        alice, bob = await client(a_store, "nioalice"), await client(b_store, "niobob")
        try:
            await chat(alice, bob)
        finally:
            await alice.close()
            await bob.close()


async def chat(alice, bob):
    texts, undecrypted = [], []

    async def on_text(room: MatrixRoom, event: RoomMessageText):
        texts.append((event.sender, event.body, event.decrypted))

    async def on_megolm(room: MatrixRoom, event: MegolmEvent):
        undecrypted.append(event.event_id)

    bob.add_event_callback(on_text, RoomMessageText)
    bob.add_event_callback(on_megolm, MegolmEvent)
    encryption = [{"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}]
    created = expect(await alice.room_create(name="nio", invite=[bob.user_id], initial_state=encryption), RoomCreateResponse, "a room is made")
    room = created.room_id
    await settle(alice, bob, rounds=1)
    check(room in bob.invited_rooms, "bob sees the invitation")
    expect(await bob.join(room), JoinResponse, "bob joins")
    await settle(alice, bob)
    check(alice.rooms[room].encrypted, "alice knows that the room is encrypted")
    check({alice.user_id, bob.user_id} <= set(alice.rooms[room].users), "alice knows both members")
    for n in range(5):
        content = {"msgtype": "m.text", "body": f"secret {n}"}
        sent = expect(await alice.room_send(room, "m.room.message", content, ignore_unverified_devices=True), RoomSendResponse, f"message {n}")
    await settle(alice, bob)
    check([t[1] for t in texts if t[0] == alice.user_id] == [f"secret {n}" for n in range(5)], f"bob reads them in order: {texts}")
    check(all(t[2] for t in texts), "and they were encrypted")
    check(not undecrypted, "none stays unread")
    got = expect(await bob.room_get_event(room, sent.event_id), RoomGetEventResponse, "one event")
    check(got.event.event_id == sent.event_id, "it is that event")
    expect(await bob.room_send(room, "m.room.message", {"msgtype": "m.text", "body": "back"}, ignore_unverified_devices=True), RoomSendResponse, "bob answers")
    history = expect(await alice.room_messages(room, alice.next_batch or "", limit=20), RoomMessagesResponse, "history")
    check(len(history.chunk) > 5, "history has the messages")

    data = os.urandom(3000)
    uploaded, keys = await alice.upload(io.BytesIO(data), content_type="application/octet-stream", filename="f.bin", encrypt=True, filesize=len(data))
    expect(uploaded, UploadResponse, "an encrypted file goes up")
    down = expect(await bob.download(mxc=uploaded.content_uri), DownloadResponse, "and comes down")
    from nio.crypto import decrypt_attachment
    check(decrypt_attachment(down.body, keys["key"]["k"], keys["hashes"]["sha256"], keys["iv"]) == data, "and is the same")

    await bob.room_read_markers(room, sent.event_id, sent.event_id)
    await bob.room_typing(room, True, timeout=10000)
    await settle(alice, rounds=1)
    check(bob.user_id in alice.rooms[room].typing_users, "alice sees bob typing")
    expect(await alice.room_redact(room, sent.event_id, "no"), RoomRedactResponse, "a message is redacted")
    await settle(alice, bob, rounds=2)
    devices = await alice.devices()
    check(any(d.id == alice.device_id for d in devices.devices), "devices are listed")
    members = await alice.joined_members(room)
    check({m.user_id for m in members.members} == {alice.user_id, bob.user_id}, "joined members")
    await alice.set_displayname("Alice of nio")
    check((await bob.get_displayname(alice.user_id)).displayname == "Alice of nio", "display name")


def main():
    try:
        asyncio.run(asyncio.wait_for(scenario(), 120))
    except Exception as e:
        print(f"FAILED: {type(e).__name__}: {e}")
        return 1
    print("python3-matrix-nio: all well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
