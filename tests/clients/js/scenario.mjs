// matrix-js-sdk with Rust crypto as a client of Haechi: two users, an encrypted room, cross-signing, secret storage,
// key backup, media, receipts, typing, reactions, edits, redaction, and a gap after having been offline.
// Every wait has a deadline, and the whole script has one: it never hangs.

import "fake-indexeddb/auto";
import assert from "node:assert/strict";

// Node 20 lacks what the SDK takes from Node 22.
Promise.withResolvers ??= function () {
  let resolve, reject;
  const promise = new this((a, b) => ((resolve = a), (reject = b)));
  return { promise, resolve, reject };
};

const URL_BASE = process.env.HAECHI_URL ?? "http://127.0.0.1:8008";
const PASSWORD = "js-sdk-password-1";
const began = Date.now();

const deadline = setTimeout(() => {
  console.log("FAILED: the scenario took more than 120 s");
  process.exit(1);
}, 120_000);

const sdk = await import("matrix-js-sdk");
const { logger } = await import("matrix-js-sdk/lib/logger.js");
logger.setLevel?.("silent", false);
for (const level of ["debug", "info", "warn", "trace"]) console[level] = () => {};
const realLog = console.log.bind(console);

function ok(what) {
  realLog(`  ok ${what} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
}

/** Waits until `probe` gives something truthy; asks again on every sync and event of the client. */
async function until(what, probe, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > end) throw new Error(`never happened: ${what}`);
    await new Promise((r) => setTimeout(r, 20));
  }
}

const authDict = (userId, session) => ({
  type: "m.login.password", session, password: PASSWORD, identifier: { type: "m.id.user", user: userId },
});

/** Sends a request that wants user-interactive auth: first without, then with the password. */
const withPassword = (userId) => async (makeRequest) => {
  try {
    return await makeRequest(null);
  } catch (e) {
    if (e.httpStatus !== 401 || !e.data?.session) throw e;
    return await makeRequest(authDict(userId, e.data.session));
  }
};

const secretKeys = new Map();
const cryptoCallbacks = (name) => ({
  getSecretStorageKey: async ({ keys }) => {
    const known = secretKeys.get(name);
    const id = known && Object.keys(keys).find((k) => k === known.id || !known.id);
    return id ? [id, known.key] : null;
  },
  cacheSecretStorageKey: (id, _info, key) => secretKeys.set(name, { id, key }),
});

async function register(name) {
  const anonymous = sdk.createClient({ baseUrl: URL_BASE });
  const r = await anonymous.registerRequest({ username: name, password: PASSWORD, auth: { type: "m.login.dummy" } });
  return { userId: r.user_id, accessToken: r.access_token, deviceId: r.device_id };
}

async function login(name) {
  const anonymous = sdk.createClient({ baseUrl: URL_BASE });
  const r = await anonymous.loginRequest({
    type: "m.login.password", identifier: { type: "m.id.user", user: name }, password: PASSWORD,
  });
  return { userId: r.user_id, accessToken: r.access_token, deviceId: r.device_id };
}

async function start(account, name, store) {
  const client = sdk.createClient({
    baseUrl: URL_BASE, userId: account.userId, accessToken: account.accessToken, deviceId: account.deviceId,
    cryptoCallbacks: cryptoCallbacks(name), timelineSupport: true, store, useAuthorizationHeader: true,
  });
  await store?.startup();
  await client.initRustCrypto({ useIndexedDB: true, cryptoDatabasePrefix: `${name}-${account.deviceId}` });
  const prepared = new Promise((resolve) => {
    client.on(sdk.ClientEvent.Sync, (state) => state === "PREPARED" && resolve());
  });
  await client.startClient({ initialSyncLimit: 20, lazyLoadMembers: true, pollTimeout: 5000 });
  await Promise.race([prepared, new Promise((_, no) => setTimeout(() => no(new Error(`${name} never got ready`)), 30_000))]);
  return client;
}

const events = (client, room) => client.getRoom(room)?.getLiveTimeline().getEvents() ?? [];
const event = (client, room, id) => client.getRoom(room)?.findEventById(id);
const body = (e) => e.getContent().body;

async function decrypted(client, room, id, text) {
  return until(`${client.getUserId()} decrypts "${text}"`, () => {
    const e = event(client, room, id);
    return e && !e.isDecryptionFailure() && body(e) === text && e;
  });
}

async function scenario() {
  const suffix = Math.floor(Math.random() * 1e6);
  const names = { alice: `jsalice${suffix}`, bob: `jsbob${suffix}` };
  const accounts = { alice: await register(names.alice), bob: await register(names.bob) };
  ok("two users are registered");

  const alice = await start(accounts.alice, "alice");
  const newStore = () => new sdk.IndexedDBStore({ indexedDB: globalThis.indexedDB, dbName: `store-${names.bob}` });
  const store = newStore();
  let bob = await start(accounts.bob, "bob", store);
  ok("both are synced, with encryption");

  // Cross-signing, secret storage, key backup.
  const crypto = alice.getCrypto();
  await crypto.bootstrapCrossSigning({ authUploadDeviceSigningKeys: withPassword(accounts.alice.userId) });
  assert.equal(await crypto.isCrossSigningReady(), true);
  ok("cross-signing is set up");
  const recovery = await crypto.createRecoveryKeyFromPassphrase("a long enough passphrase");
  secretKeys.set("alice", { id: undefined, key: recovery.privateKey });
  await crypto.bootstrapSecretStorage({
    createSecretStorageKey: async () => recovery, setupNewSecretStorage: true, setupNewKeyBackup: true,
  });
  await until("secret storage is ready", () => crypto.isSecretStorageReady());
  await until("key backup is active", () => crypto.getActiveSessionBackupVersion());
  ok("secret storage and key backup are set up");

  // An encrypted room.
  const { room_id: room } = await alice.createRoom({
    name: "JS", preset: "private_chat", invite: [accounts.bob.userId],
    initial_state: [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }],
  });
  await until("bob sees the invitation", () => bob.getRoom(room)?.getMyMembership() === "invite");
  await bob.joinRoom(room);
  await until("alice sees bob", () => alice.getRoom(room)?.getMember(accounts.bob.userId)?.membership === "join");
  await until("bob is in", () => bob.getRoom(room)?.getMyMembership() === "join");
  assert.equal(await crypto.isEncryptionEnabledInRoom(room), true);
  ok("an encrypted room with both");

  const sent = [];
  for (let n = 0; n < 4; n++) sent.push((await alice.sendTextMessage(room, `secret ${n}`)).event_id);
  for (let n = 0; n < 4; n++) {
    const e = await decrypted(bob, room, sent[n], `secret ${n}`);
    assert.equal(e.isEncrypted(), true);
    assert.equal(e.getWireType(), "m.room.encrypted");
  }
  const back = (await bob.sendTextMessage(room, "and back")).event_id;
  await decrypted(alice, room, back, "and back");
  ok("messages are decrypted on both sides");

  // The device of alice is signed by her, and bob can see that.
  const status = await until("bob knows alice's device", async () => {
    const s = await bob.getCrypto().getDeviceVerificationStatus(accounts.alice.userId, accounts.alice.deviceId);
    return s?.signedByOwner && s;
  });
  assert.equal(status.signedByOwner, true);
  ok("bob sees alice's device signed by its owner");

  // Media, by the authenticated paths.
  const bytes = new Uint8Array(20_000).map((_, n) => n % 251);
  const upload = await alice.uploadContent(new Blob([bytes], { type: "image/png" }), { name: "bild ü.png", type: "image/png" });
  const url = bob.mxcUrlToHttp(upload.content_uri, undefined, undefined, undefined, false, true, true);
  assert.match(url, /\/_matrix\/client\/v1\/media\/download\//);
  const download = await fetch(url, { headers: { Authorization: `Bearer ${accounts.bob.accessToken}` } });
  assert.equal(download.status, 200);
  assert.deepEqual(new Uint8Array(await download.arrayBuffer()), bytes);
  assert.equal((await fetch(url)).status, 401);
  ok("media go up and come down");

  // Receipts, typing, reaction, edit, redaction.
  await bob.sendReadReceipt(event(bob, room, sent[3]));
  await until("alice sees the receipt", () => alice.getRoom(room).hasUserReadEvent(accounts.bob.userId, sent[3]));
  await bob.sendTyping(room, true, 10_000);
  await until("alice sees typing", () => alice.getRoom(room).getMember(accounts.bob.userId)?.typing);
  await bob.sendTyping(room, false, 0);
  await until("and its end", () => !alice.getRoom(room).getMember(accounts.bob.userId)?.typing);
  ok("receipts and typing");

  const reaction = (await bob.sendEvent(room, "m.reaction", {
    "m.relates_to": { rel_type: "m.annotation", event_id: sent[0], key: "🔥" },
  })).event_id;
  await until("alice sees the reaction", () =>
    alice.getRoom(room).relations.getChildEventsForEvent(sent[0], "m.annotation", "m.reaction")?.getSortedAnnotationsByKey()
      ?.some(([key, set]) => key === "🔥" && set.size === 1));
  await alice.sendEvent(room, "m.room.message", {
    msgtype: "m.text", body: "* secret one", "m.new_content": { msgtype: "m.text", body: "secret one" },
    "m.relates_to": { rel_type: "m.replace", event_id: sent[1] },
  });
  await until("bob sees the edit", () => body(event(bob, room, sent[1])) === "secret one");
  ok("a reaction and an edit");

  await alice.redactEvent(room, sent[2]);
  await until("bob sees the redaction", () => event(bob, room, sent[2]).isRedacted());
  await bob.redactEvent(room, reaction);
  await until("alice sees the reaction go", () => event(alice, room, reaction)?.isRedacted() ??
    !alice.getRoom(room).relations.getChildEventsForEvent(sent[0], "m.annotation", "m.reaction")?.getRelations().length);
  ok("redactions");

  // Offline, many messages, back from what the store kept: a gap that can be filled by paging.
  await store.save(true);
  const token = await store.getSavedSyncToken();
  assert.ok(token);
  bob.stopClient();
  const missed = [];
  for (let n = 0; n < 40; n++) missed.push((await alice.sendTextMessage(room, `missed ${n}`)).event_id);
  const direct = await (await fetch(
    `${URL_BASE}/_matrix/client/v3/sync?since=${encodeURIComponent(token)}&timeout=0&filter=${encodeURIComponent('{"room":{"timeline":{"limit":10}}}')}`,
    { headers: { Authorization: `Bearer ${accounts.bob.accessToken}` } })).json();
  assert.equal(direct.rooms.join[room].timeline.limited, true);
  assert.equal(direct.rooms.join[room].timeline.events.at(-1).event_id, missed.at(-1));
  bob = await start(accounts.bob, "bob", newStore());
  await decrypted(bob, room, missed.at(-1), "missed 39");
  for (let page = 0; page < 12 && !event(bob, room, missed[0]); page++) await bob.scrollback(bob.getRoom(room), 20);
  for (const [n, id] of missed.entries()) await decrypted(bob, room, id, `missed ${n}`);
  const order = events(bob, room).map((e) => e.getId()).filter((id) => missed.includes(id));
  assert.deepEqual(order, missed);
  ok("offline, a gap, and nothing missed");

  // A second device of alice restores the backup and reads what was before it.
  await until("everything is in the backup", async () => {
    // Asked over HTTP: the client keeps what it was told when it made the backup.
    const info = await (await fetch(`${URL_BASE}/_matrix/client/v3/room_keys/version`,
      { headers: { Authorization: `Bearer ${accounts.alice.accessToken}` } })).json();
    return info.count > 0;
  });
  const second = await start(await login(names.alice), "alice2");
  secretKeys.set("alice2", secretKeys.get("alice"));
  const own = second.getCrypto();
  assert.ok(await own.userHasCrossSigningKeys(accounts.alice.userId, true));
  await own.bootstrapCrossSigning({ authUploadDeviceSigningKeys: withPassword(accounts.alice.userId) });
  await own.loadSessionBackupPrivateKeyFromSecretStorage();
  const restored = await own.restoreKeyBackup();
  assert.ok(restored.imported > 0, `restored ${JSON.stringify(restored)}`);
  for (let page = 0; page < 12 && !event(second, room, sent[0]); page++) await second.scrollback(second.getRoom(room), 30);
  await decrypted(second, room, missed[20], "missed 20");
  await decrypted(second, room, sent[0], "secret 0");
  ok(`a second device restores ${restored.imported} keys from the backup and reads`);

  for (const client of [alice, bob, second]) client.stopClient();
}

try {
  await scenario();
  clearTimeout(deadline);
  realLog(`matrix-js-sdk: all well in ${((Date.now() - began) / 1000).toFixed(1)} s`);
  process.exit(0);
} catch (e) {
  realLog(`FAILED: ${e?.stack ?? e}`);
  process.exit(1);
}
