/**
 * Scenarios 1 to 6: what users see when servers are fewer than planned, down, or lie. Real processes throughout.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { runHarness } from "../../src/presence/harness.ts";
import { realClock } from "../../src/core/seams/clock.ts";
import { PresenceClient, type ClientOptions, type LookupResult } from "../../src/presence/client.ts";
import { friendOf, type TestUser } from "../../src/presence/users.ts";
import { ByzantineServer, resettingServer } from "./byzantine-server.ts";
import { PresenceService, statesOf, status, testUsers } from "./presence-service.ts";

const SERVERS = 5;
const users = testUsers(12, 8);

/** What each user should see in the epoch that `populate` returned. */
interface Populated {
  epoch: number;
  expected(user: number): string[];
}

/** Two thirds of the users announce themselves to their friends. */
async function populate(service: PresenceService): Promise<Populated> {
  const client = service.client();
  const epoch = await service.epoch();
  const isThere = (user: number) => user % 3 !== 0;
  for (const [index, { identity, buddies }] of users.entries()) {
    const announcements = buddies.map((buddy) => ({
      friend: friendOf(users[buddy] as TestUser, false),
      payload: status(`${index} to ${buddy}`),
    }));
    await client.register(identity, isThere(index) ? announcements : [], epoch);
  }
  return {
    epoch: await service.fastForward(),
    expected: (user) =>
      (users[user] as TestUser).buddies.map((buddy) =>
        isThere(buddy) && (users[buddy] as TestUser).buddies.includes(user) ? "online" : "offline",
      ),
  };
}

/** Looks all friends of some users up and judges states and statuses. */
async function lookUp(
  options: ClientOptions,
  { epoch, expected }: Populated,
  lookers: readonly number[] = [0, 1, 2],
): Promise<LookupResult> {
  const client = new PresenceClient(options);
  let last: LookupResult | undefined;
  for (const user of lookers) {
    const { identity, buddies } = users[user] as TestUser;
    last = await client.lookup(
      identity,
      buddies.map((buddy) => friendOf(users[buddy] as TestUser, false)),
      epoch,
    );
    expect(statesOf(last)).toEqual(expected(user));
    for (const [position, { state, payload }] of last.friends.entries())
      if (state === "online") expect(payload).toEqual(status(`${buddies[position]} to ${user}`));
  }
  return last as LookupResult;
}

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => "it worked",
    (error: { code?: string }) => error.code,
  );

describe.each([1, 3] as const)("protocol %i", (protocol) => {
  let service: PresenceService;
  let populated: Populated;
  let urls: string[];

  beforeAll(async () => {
    service = await PresenceService.start({ lookups: SERVERS, settings: { protocol } });
    populated = await populate(service);
    urls = service.lookups.map(({ url }) => url);
  }, 120_000);
  afterAll(async () => service?.[Symbol.asyncDispose]());

  const options = (lookupServers: string[], privacyLevel: number, deadlineMs = 20_000) =>
    service.clientOptions({ lookupServers, privacyLevel, deadlineMs });

  test("scenarios 2 and 3: any t + 1 servers suffice, t do not, and nothing wrong is seen", async () => {
    const nobody = "http://127.0.0.1:9";
    const three = urls.slice(0, 3);
    await lookUp(options(three, 1), populated);
    await lookUp(options(three, 2), populated);
    const withOneDown = [...urls.slice(0, 2), nobody];
    const result = await lookUp(options(withOneDown, 1), populated);
    // Version 1 asks one server for metadata, so the dead one may be met twice.
    expect(new Set(result.dropped.map(({ server }) => server))).toEqual(new Set([nobody]));
    expect(await failure(lookUp(options(withOneDown, 2), populated))).toBe("NX_SERVERS_INSUFFICIENT");
  });

  test("scenario 5: one of three gives random answers", async () => {
    using liar = await ByzantineServer.start(urls[2] as string, "random");
    const servers = [...urls.slice(0, 2), liar.url];
    if (protocol === 1) {
      expect(await failure(lookUp(options(servers, 1), populated))).toBe("NX_SERVERS_INCONSISTENT");
      return;
    }
    expect((await lookUp(options(servers, 1), populated)).liars).toEqual([liar.url]);
    // With t = 2 of three there is nothing to correct with, but what cannot be proven is not shown.
    expect(await failure(lookUp(options(servers, 2), populated))).toBe("NX_SERVERS_INCONSISTENT");
  });

  test("scenario 5: with four servers and t = 1, or five and t = 2, a liar is corrected and named", async () => {
    using liar = await ByzantineServer.start(urls[3] as string, "random");
    const four = [...urls.slice(0, 3), liar.url];
    expect((await lookUp(options(four, 1), populated)).liars).toEqual([liar.url]);
    const five = [...four, urls[4] as string];
    expect((await lookUp(options(five, 2), populated)).liars).toEqual([liar.url]);
  });

  const variants = [
    "oneByte", "short", "error", "wrongEpoch", "wrongLength", "endless", "slow", "internalError", "otherQuery",
  ]; // prettier-ignore

  test.each(variants)(
    "scenario 6: %s: the server is left out or named, the others go on",
    async (behaviour) => {
      using liar = await ByzantineServer.start(urls[3] as string, behaviour);
      const isLate = behaviour === "slow";
      const four = options([...urls.slice(0, 3), liar.url], 1, isLate ? 4000 : 20_000);
      // Each of them would wait for the late one until the deadline.
      const { dropped, liars } = await lookUp(four, populated, isLate ? [0] : undefined);
      const isWrong = ["oneByte", "otherQuery"].includes(behaviour);
      expect({ dropped: dropped.map(({ server }) => server), liars }).toEqual({
        dropped: isWrong ? [] : [liar.url],
        liars: isWrong ? [liar.url] : [],
      });
    },
  );

  test("scenario 6: a server that resets the TLS handshake is left out", async () => {
    using resetting = resettingServer();
    const four = options([...urls.slice(0, 3), resetting.url], 1);
    const { dropped, liars } = await lookUp(four, populated);
    expect(new Set(dropped.map(({ server }) => server))).toEqual(new Set([resetting.url]));
    expect(liars).toEqual([]);
  });

  test("scenario 6: the database of the previous epoch is not taken for the current one", async () => {
    const next = await service.fastForward();
    const old = populated.epoch;
    const stale = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      // Answers about the current epoch with what the previous one holds.
      async fetch(request) {
        const body = new Uint8Array(await request.arrayBuffer());
        new DataView(body.buffer).setUint32(1, old);
        const answer = await fetch(`${urls[2]}/lookup/${old}/`, { method: "POST", body });
        const bytes = new Uint8Array(await answer.arrayBuffer());
        if (body[0] === 0xfe && bytes.length >= 5) new DataView(bytes.buffer).setUint32(1, next);
        return new Response(bytes, { status: answer.status });
      },
    });
    const servers = [...urls.slice(0, 3), `http://127.0.0.1:${stale.port}`];
    const emptyEpoch = {
      epoch: next,
      expected: (user: number) => populated.expected(user).map(() => "offline"),
    };
    const result = await lookUp(options(servers, 1), emptyEpoch);
    await stale.stop(true);
    expect(result.friends.every(({ state }) => state === "offline")).toBe(true);
  });
});

test("scenario 6: metadata that differs from the others' is named; with the key, it is refused outright", async () => {
  await using service = await PresenceService.start();
  const populated = await populate(service);
  using liar = await ByzantineServer.start(service.lookups[2]?.url as string, "badMetadata");
  const lookupServers = [...service.lookups.slice(0, 2).map(({ url }) => url), liar.url];
  const { dropped } = await lookUp(service.clientOptions({ lookupServers }), populated);
  expect(dropped.map(({ server }) => server)).toEqual([liar.url]);
});

test("scenario 4: privacyLevel is checked, and named in the message", async () => {
  await using service = await PresenceService.start({ lookups: 3 });
  for (const privacyLevel of [0, 3, -1, 1.5, "2" as unknown as number])
    expect(() => service.client({ privacyLevel })).toThrow(/privacyLevel: wanted an integer from 1 to 2/);
  const { privacyLevel: _, ...withoutLevel } = service.clientOptions();
  expect(new PresenceClient(withoutLevel).privacyLevel).toBe(2);
  expect(() => service.client({ lookupServers: ["a:1"] })).toThrow(/at least 2/);
});

test("scenario 3: a server that dies in the middle of a lookup is left out", async () => {
  await using service = await PresenceService.start({ lookups: 3 });
  const populated = await populate(service);
  const victim = service.lookups[2];
  const { transport: _, ...options } = service.clientOptions();
  const { httpExchange } = await import("../../src/core/sockets/http-client.ts");
  let isKilled = false;
  const client = {
    ...options,
    // The victim dies when its query is on the way.
    async transport(exchange: Parameters<typeof httpExchange>[0]) {
      if (exchange.body?.[0] === 0xfe && exchange.url.startsWith(victim?.url as string) && !isKilled) {
        isKilled = true;
        const answer = httpExchange(exchange);
        victim?.signal("SIGKILL");
        return answer;
      }
      return httpExchange(exchange);
    },
  };
  await lookUp(client, populated);
  expect(isKilled).toBe(true);
});

test("scenario 1: 200 users, 100 friends each, by queries: every state and status, exact sizes", async () => {
  await using service = await PresenceService.start({ settings: { protocol: 1 } });
  const sizes = { registration: new Set<number>(), query: new Set<number>() };
  const { httpExchange } = await import("../../src/core/sockets/http-client.ts");
  const report = await runHarness({
    client: service.clientOptions({
      transport(exchange) {
        if (exchange.url.includes("/register/")) sizes.registration.add(exchange.body?.length ?? 0);
        if (exchange.body?.[0] === 0xfe) sizes.query.add(exchange.body.length);
        return httpExchange(exchange);
      },
    }),
    users: testUsers(200, 100),
    clock: realClock,
    concurrency: 10,
    isWaiting: false,
    onProgress: () => {},
  });
  expect(report).toMatchObject({ states: 20_000, wrong: 0, downloads: 0, dropped: {}, liars: [] });
  expect(sizes.registration).toEqual(new Set([2604]));
  // 5 bytes of head, 2 of the count, 100 queries of one byte for each of 722 buckets.
  expect(sizes.query).toEqual(new Set([5 + 2 + 100 * 722]));
}, 120_000);
