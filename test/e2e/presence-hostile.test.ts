/**
 * Scenarios 9, 12 to 18 and 20: what servers answer to whatever is sent, and what users can do to each other. Real
 * processes, protocol 1 beside protocol 3.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { seededRandom } from "../../src/core/seams/random.ts";
import { PresenceClient } from "../../src/presence/client.ts";
import { connect } from "node:net";
import { ed25519 } from "@noble/curves/ed25519.js";
import { combinedKeys, registerCombined } from "../../src/presence/protocol/blinding.ts";
import { concat, epochBytes, isEqual, toHex } from "../../src/presence/protocol/bytes.ts";
import { encodeLookup, encodePirPayload, LookupType } from "../../src/presence/protocol/messages.ts";
import { nodePrimitives } from "../../src/presence/protocol/primitives-node.ts";
import { schemeOf } from "../../src/presence/protocol/scheme.ts";
import { friendOf, type TestUser } from "../../src/presence/users.ts";
import { PresenceService, statesOf, status, testUsers } from "./presence-service.ts";

const users = testUsers(6, 6);
const [ann, ben, cid] = users as [TestUser, TestUser, TestUser];
const friend = (user: TestUser) => friendOf(user, false);

interface Answer {
  status: number;
  body: string;
}

async function post(url: string, body: Uint8Array<ArrayBuffer> | ReadableStream, init = {}): Promise<Answer> {
  const answer = await fetch(url, { method: "POST", body, ...init });
  return { status: answer.status, body: toHex(new Uint8Array(await answer.arrayBuffer())) };
}

/** What comes before the server closes the connection after a request with these headers. */
function untilClosed(url: string, headers: string): Promise<string> {
  const { port, pathname } = new URL(url);
  const socket = connect(Number(port), "127.0.0.1");
  let answer = "";
  socket.on("data", (data) => (answer += data.toString("latin1")));
  socket.on("error", () => {}); // a reset while it sends: the answer has come by then
  socket.write(`POST ${pathname} HTTP/1.1\r\nhost: x\r\n${headers}\r\n\r\n`);
  return new Promise((resolve) => socket.on("close", () => resolve(answer)));
}

describe.each([1, 3] as const)("protocol %i", (protocol) => {
  const scheme = schemeOf(protocol);
  const isStrict = protocol === 3;
  const refusal = isStrict ? 400 : 200;
  const recordBytes = scheme.idBytes + scheme.sealedBytes;
  let service: PresenceService;
  let registerUrl: (epoch: number | string) => string;
  let lookupUrl: (epoch: number | string) => string;

  beforeAll(async () => {
    service = await PresenceService.start({ lookups: 2, settings: { protocol } });
    registerUrl = (epoch) => `${service.regserver.url}/register/${epoch}/`;
    lookupUrl = (epoch) => `${service.lookups[0]?.url}/lookup/${epoch}/`;
  }, 120_000);
  afterAll(async () => service?.[Symbol.asyncDispose]());

  const hex = (status: number, epoch: number) => toHex(concat(Uint8Array.of(status), epochBytes(epoch)));
  const body = (epoch: number, records: number, extra = 0) =>
    concat(epochBytes(epoch), nodePrimitives.random(records * recordBytes + extra));
  const pending = async () => (await service.regserver.server()).registrations?.pendingBytes;
  const register = (user: TestUser, to: TestUser, text: string, epoch: number) =>
    service.client().register(user.identity, [{ friend: friend(to), payload: status(text) }], epoch);
  const see = (user: TestUser, other: TestUser, epoch: number) =>
    service.client().lookup(user.identity, [friend(other)], epoch);

  test("scenario 12: malformed registrations get the protocol's errors and change nothing", async () => {
    const epoch = await service.epoch();
    const next = epoch + 1;
    const before = await pending();
    for (const length of [0, 1, 2, 3])
      expect(await post(registerUrl(epoch), new Uint8Array(length))).toEqual({
        status: refusal,
        body: hex(1, next),
      });
    for (const inner of [epoch, epoch + 2, 0])
      expect(await post(registerUrl(epoch), body(inner, 100))).toEqual({
        status: refusal,
        body: hex(2, next),
      });
    expect(await post(registerUrl(epoch), body(next, 100, 1))).toEqual({
      status: refusal,
      body: hex(3, next),
    });
    for (const url of [next, epoch - 1, "x", "-1", "99999999999"])
      expect((await post(registerUrl(url), body(next, 100))).status).toBe(403);
    expect((await post(`${service.lookups[0]?.url}/register/${epoch}/`, body(next, 100))).status).toBe(403);
    const get = await fetch(registerUrl(epoch));
    expect(get.status).toBe(isStrict ? 405 : 200);
    // Any number of records was taken by the seed; version 3 takes exactly as many as everybody sends.
    for (const records of [0, 99, 101]) {
      const answer = await post(registerUrl(epoch), body(next, records));
      expect(answer).toEqual(
        isStrict ? { status: 400, body: hex(3, next) } : { status: 200, body: hex(0, next) },
      );
    }
    if (isStrict) expect(await pending()).toBe(before as number);
    // What follows is taken, however its length is told and whatever it calls itself.
    const chunks = new Blob([body(next, 100)]).stream();
    expect(await post(registerUrl(epoch), chunks)).toEqual({ status: 200, body: hex(0, next) });
    const form = { headers: { "content-type": "application/x-www-form-urlencoded" } };
    expect(await post(`${service.regserver.url}/register?epoch=${epoch}`, body(next, 100), form)).toEqual({
      status: 200,
      body: hex(0, next),
    });
  });

  test("scenario 13: oversize bodies are refused before they are kept", async () => {
    const epoch = await service.epoch();
    const before = (await service.regserver.stats()).process.rssBytes;
    const large = new Uint8Array(10 << 20);
    // The connection is closed while the body is sent, so a client may find it reset instead of reading the answer.
    const statusOf = (answer: Promise<Answer>) => answer.then(({ status }) => status).catch(() => 413);
    expect(await statusOf(post(registerUrl(epoch), large))).toBe(413);
    expect(await statusOf(post(lookupUrl(epoch), new Uint8Array(100 << 20)))).toBe(413);
    let sent = 0;
    const endless = new ReadableStream({
      pull(controller) {
        controller.enqueue(new Uint8Array(64 << 10));
        sent += 64 << 10;
        if (sent > 50 << 20) controller.close();
      },
    });
    expect(await statusOf(post(registerUrl(epoch), endless))).toBe(413);
    const count = encodeLookup(LookupType.pir, epoch, encodePirPayload(65_535, new Uint8Array(100)));
    expect((await post(lookupUrl(epoch), count)).status).toBe(refusal);
    const after = (await service.regserver.stats()).process.rssBytes;
    console.log(`memory grew by ${((after - before) / 2 ** 20).toFixed(1)} MiB`);
    expect(after - before).toBeLessThan(20 << 20);
  });

  test("scenario 13: a body that is too long ends its connection, and what is left of it is not read", async () => {
    const epoch = await service.epoch();
    const heads = {
      [registerUrl(epoch)]: "content-length: 10485760",
      [lookupUrl(epoch)]: "content-length: 10485760",
    };
    for (const [url, length] of Object.entries(heads)) {
      // Not a byte of the body is sent: a server that wants to read it keeps the connection and waits.
      const answer = await untilClosed(url, length);
      expect(answer).toStartWith("HTTP/1.1 413 ");
      expect(answer.toLowerCase()).toContain("connection: close");
    }
    // Without a length the limit is met while reading; this chunk is never finished.
    const chunk = `transfer-encoding: chunked\r\n\r\nA00000\r\n${"x".repeat(2 << 20)}`;
    expect(["", "HTTP/1.1 413"]).toContain((await untilClosed(registerUrl(epoch), chunk)).slice(0, 12));
  });

  test("scenario 14: malformed lookups get the five bytes of an error", async () => {
    const epoch = await service.epoch();
    await see(ann, ben, epoch);
    const rows = 6; // an empty epoch's table in version 1; the lengths below fit no table
    const malformed: [Uint8Array<ArrayBuffer>, number][] = [
      [new Uint8Array(0), 0],
      [Uint8Array.of(0xff), 0],
      [Uint8Array.of(0xfe, 0, 0, 0), 0x80],
      [Uint8Array.of(0x77, ...epochBytes(epoch)), 0],
      [encodeLookup(LookupType.metadata, epoch, new Uint8Array(1)), 0],
      [encodeLookup(LookupType.metadata, epoch + 1), 0],
      [encodeLookup(LookupType.pir, epoch + 1, encodePirPayload(1, new Uint8Array(rows))), 0x80],
      [encodeLookup(LookupType.pir, epoch, encodePirPayload(0, new Uint8Array(0))), 0x80],
      [encodeLookup(LookupType.pir, epoch, encodePirPayload(100, new Uint8Array(1))), 0x80],
      [encodeLookup(LookupType.pir, epoch, new Uint8Array(1)), 0x80],
      [encodeLookup(LookupType.database, epoch + 1), 0x80],
    ];
    for (const [request, wanted] of malformed)
      expect({ request: toHex(request.subarray(0, 9)), ...(await post(lookupUrl(epoch), request)) }).toEqual({
        request: toHex(request.subarray(0, 9)),
        status: refusal,
        body: hex(wanted, epoch),
      });
  });

  test("scenario 14: random bodies get an answer each, and never a 5xx", async () => {
    const epoch = await service.epoch();
    const random = seededRandom(protocol);
    const bad: number[] = [];
    const one = async () => {
      const request = random.bytes(random.integer(200)) as Uint8Array<ArrayBuffer>;
      if (request.length > 0 && random.integer(4) > 0) request[0] = 0xfd + random.integer(3);
      if (request.length > 4 && random.integer(4) > 0) request.set(epochBytes(epoch), 1);
      const isRegistration = random.integer(3) === 0;
      const answer = await post(isRegistration ? registerUrl(epoch) : lookupUrl(epoch), request);
      if (answer.status >= 500) bad.push(answer.status);
    };
    for (let round = 0; round < 60; round++) await Promise.all(Array.from({ length: 25 }, one));
    expect(bad).toEqual([]);
  });

  test("scenario 15: a replay changes nothing, and of two records under one id one is seen", async () => {
    const epoch = await service.epoch();
    let sent: Uint8Array<ArrayBuffer> | undefined;
    const { httpExchange } = await import("../../src/core/sockets/http-client.ts");
    const recording = service.client({
      transport(exchange) {
        sent = exchange.body;
        return httpExchange(exchange);
      },
    });
    await recording.register(ann.identity, [{ friend: friend(ben), payload: status("first") }], epoch);
    const copy = sent as Uint8Array<ArrayBuffer>;
    expect((await post(registerUrl(epoch), copy)).body).toBe(hex(0, epoch + 1));
    await register(ann, ben, "second", epoch);
    const now = await service.fastForward();
    expect(await post(registerUrl(now), copy)).toEqual({ status: refusal, body: hex(2, now + 1) });
    const { friends } = await see(ben, ann, now);
    expect(friends).toHaveLength(1);
    if (isStrict) expect(friends[0]?.payload).toEqual(status("first"));
    else
      expect(
        [status("first"), status("second")].some((text) => isEqual(text, friends[0]?.payload ?? text)),
      ).toBe(true);
  });

  test("scenario 16: nothing read from the database can be registered under", async () => {
    const epoch = await service.epoch();
    await register(ann, ben, "true", epoch);
    const now = await service.fastForward();
    const data = new Uint8Array(
      await (await fetch(`${service.regserver.url}/download/${now}`)).arrayBuffer(),
    );
    const stolen = new Uint8Array(recordBytes * 100);
    stolen.set(data.subarray(0, stolen.length));
    await post(registerUrl(now), concat(epochBytes(now + 1), stolen));
    const later = await service.fastForward();
    expect(statesOf(await see(ben, ann, later))).toEqual(["offline"]);
  });

  test("scenario 17: only epochs that exist are served; asking for others causes no storm", async () => {
    const epoch = await service.fastForward();
    const previous = epoch - 1;
    expect(statesOf(await see(ben, ann, epoch))).toEqual(["offline"]);
    const questions = (await service.lookups[0]?.server())?.upstream?.questions ?? 0;
    const statuses = await Promise.all(
      [epoch + 1, 0, 2 ** 32 - 1, epoch - 1000].flatMap((wrong) =>
        Array.from(
          { length: 20 },
          async () => (await post(lookupUrl(wrong), encodeLookup(0xff, wrong))).status,
        ),
      ),
    );
    expect(new Set(statuses)).toEqual(new Set([isStrict ? 404 : 403]));
    const after = (await service.lookups[0]?.server())?.upstream?.questions ?? 0;
    expect(after - questions).toBeLessThan(40);
    expect((await post(lookupUrl(previous), encodeLookup(0xff, previous))).status).toBe(200);
    expect(((await service.lookups[0]?.server())?.epochsServed ?? []).length).toBeLessThanOrEqual(2);
  });

  test("scenario 18: an epoch without users, a user without friends, a user with one", async () => {
    const empty = await service.fastForward();
    for (const forcePir of [true, false]) {
      const client = service.client({ forcePir });
      expect(statesOf(await client.lookup(ann.identity, [friend(ben)], empty))).toEqual(["offline"]);
      expect(statesOf(await client.lookup(ann.identity, [], empty))).toEqual([]);
    }
    await register(ann, ben, "alone", empty);
    const one = await service.fastForward();
    for (const forcePir of [true, false])
      expect(statesOf(await service.client({ forcePir }).lookup(ben.identity, [friend(ann)], one))).toEqual([
        "online",
      ]);
  });

  test("scenario 20: who is left out, or whom an invisible user has, sees the user offline from the next epoch on", async () => {
    const announce = (to: TestUser[], epoch: number) =>
      service.client().register(
        ann.identity,
        to.map((other) => ({ friend: friend(other), payload: status("here") })),
        epoch,
      );
    let epoch = await service.epoch();
    await announce([ben, cid], epoch);
    epoch = await service.fastForward();
    expect(statesOf(await see(ben, ann, epoch))).toEqual(["online"]);
    await announce([cid], epoch);
    const bytes = await pending();
    epoch = await service.fastForward();
    expect(statesOf(await see(ben, ann, epoch))).toEqual(["offline"]);
    expect(statesOf(await see(cid, ann, epoch))).toEqual(["online"]);
    await service.client().registerInvisible(ann.identity, epoch);
    expect(await pending()).toBe(bytes as number);
    epoch = await service.fastForward();
    expect(statesOf(await see(cid, ann, epoch))).toEqual(["offline"]);
  });
});

test("scenario 9: the debugging command works from this host where it is allowed, and nowhere else", async () => {
  await using service = await PresenceService.start({ lookups: 1 });
  const before = await service.epoch();
  expect(await service.fastForward()).toBe(before + 1);
  expect(await service.fastForward()).toBe(before + 2);
  expect(await service.epoch()).toBe(before + 2);
  expect((await fetch(`${service.lookups[0]?.url}/debugfastforward`)).status).toBe(403);
  await service.regserver.end();
  await service.regserver.start({ settings: { debug: false } });
  expect((await fetch(`${service.regserver.url}/debugfastforward`)).status).toBe(403);
  // An epoch that has begun is never gone back behind, fast-forwarded or not.
  expect(await service.epoch()).toBe(before + 2);
});

test("scenario 16, combined mode: only the holder of a key can register under it", async () => {
  await using service = await PresenceService.start({ lookups: 2, settings: { combined: true } });
  const epoch = await service.epoch();
  const next = epoch + 1;
  const url = `${service.regserver.url}/register/${epoch}/`;
  const genuine = registerCombined(nodePrimitives, ann.identity.signingSeed, next, status("genuine"));
  const keys = combinedKeys(nodePrimitives, ann.identity.signingPublicKey, next);
  const changed = (at: number, bytes: Uint8Array) => {
    const copy = genuine.slice();
    copy.set(bytes, at);
    return copy;
  };
  const identity = ed25519.Point.ZERO.toBytes();
  // A point of order 8, and the genuine key moved out of the subgroup by it.
  const torsion = ed25519.Point.fromHex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a");
  const outside = ed25519.Point.fromBytes(keys.blindedKey).add(torsion).toBytes();
  const other = registerCombined(nodePrimitives, ben.identity.signingSeed, next, status("other"));
  const forged = {
    "no point": changed(0, new Uint8Array(32).fill(0xff)),
    "the identity": changed(0, identity),
    "a point of small order": changed(0, torsion.toBytes()),
    "a point outside the subgroup": changed(0, outside),
    "another payload": changed(32, nodePrimitives.random(44)),
    "another's signature": changed(32 + 44, other.subarray(32 + 44)),
    "another's key": changed(0, other.subarray(0, 32)),
    "another epoch's": registerCombined(nodePrimitives, ann.identity.signingSeed, next + 1, status("late")),
  };
  for (const [name, registration] of Object.entries(forged))
    expect({ name, ...(await post(url, concat(epochBytes(next), registration))) }).toMatchObject({
      name,
      status: 400,
    });
  expect((await post(url, concat(epochBytes(next), genuine))).status).toBe(200);
  const now = await service.fastForward();
  const { friends } = await service.client().lookup(ben.identity, [friendOf(ann, true)], now);
  expect(friends.map(({ state, payload }) => ({ state, payload }))).toEqual([
    { state: "online", payload: status("genuine") },
  ]);
});

test("no identifier, address or body of a user reaches a log", async () => {
  await using service = await PresenceService.start({ lookups: 2 });
  const epoch = await service.epoch();
  const client = new PresenceClient(service.clientOptions());
  await client.register(ann.identity, [{ friend: friend(ben), payload: status("secret status") }], epoch);
  await client.lookup(ben.identity, [friend(ann)], await service.fastForward());
  await post(`${service.regserver.url}/register/${epoch}/`, new Uint8Array(7));
  const keys = ann.identity.pairSecret(schemeOf(3), friend(ben));
  const logs = [service.regserver, ...service.lookups].map((server) => server.log()).join("\n");
  for (const secret of [
    toHex(ann.identity.publicKey),
    toHex(ben.identity.publicKey),
    toHex(keys),
    "secret status",
    "register/",
  ])
    expect(logs).not.toContain(secret);
});
