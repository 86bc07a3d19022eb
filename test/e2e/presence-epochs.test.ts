/**
 * Scenarios 7, 8, 10, 11 and 23: TLS, epochs that pass under load, restarts at bad moments, idle connections. Real
 * processes.
 */
import { describe, expect, test } from "bun:test";
import { appendFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runHarness } from "../../src/presence/harness.ts";
import { realClock } from "../../src/core/seams/clock.ts";
import { friendOf, type TestUser } from "../../src/presence/users.ts";
import { until } from "./executable.ts";
import { connectIdle, loadAcrossEpochs } from "./presence-load.ts";
import { executable, PresenceService, statesOf, status, testUsers } from "./presence-service.ts";

const users = testUsers(40, 3);
const user = (index: number) => users[index % users.length] as TestUser;
const friend = (index: number) => friendOf(user(index), false);

describe("scenario 7: TLS", () => {
  /** An authority and a certificate for localhost and 127.0.0.1, made by the program itself. */
  function certificates(directory: string) {
    const hosts = ["--host", "127.0.0.1", "--host", "localhost"];
    for (const words of [["ca"], ["issue", "server", "tls", ...hosts]]) {
      const made = Bun.spawnSync([executable, "tls", ...words], { cwd: directory, env: {} });
      if (made.exitCode !== 0) throw new Error(`tls ${words.join(" ")}: ${made.stderr.toString()}`);
    }
    const path = (name: string) => join(directory, "tls", name);
    return { ca: path("ca.crt"), cert: path("server.crt"), key: path("server.key") };
  }

  test("works on every hop with the authority, not without; mixed with plain servers too", async () => {
    await using plain = await PresenceService.start({ lookups: 1 });
    const { ca, cert, key } = certificates(plain.directory);
    await using service = await PresenceService.start({
      lookups: 2,
      regserver: { tls: { cert, key } },
      settings: { regServerCa: ca },
      lookup: { tls: { cert, key } },
    });
    const caText = await Bun.file(ca).text();
    const trusting = service.client({ tls: { ca: caText } });
    const { epoch } = await trusting.status();
    await trusting.register(user(0).identity, [{ friend: friend(1), payload: status("over TLS") }], epoch);
    const init = { tls: { ca: caText } };
    expect(await (await fetch(`${service.regserver.url}/debugfastforward`, init)).text()).toContain("New:");
    const result = await trusting.lookup(user(1).identity, [friend(0)], epoch + 1);
    expect(statesOf(result)).toEqual(["online"]);

    const stranger = service.client({ tls: {} });
    await expect(stranger.status()).rejects.toThrow(/certificate|unable to verify|self.signed/i);
    expect((await service.client({ tls: { isVerified: false } }).status()).epoch).toBe(epoch + 1);

    // A plain lookup server behind a registration server with TLS; one that does not know the authority gets nothing.
    const mixed = service.addLookup({ tls: undefined });
    await mixed.start();
    expect((await mixed.server()).epochsServed).toContain(epoch + 1);
    const distrustful = service.addLookup({ tls: undefined, regServerCa: undefined });
    await distrustful.start({ isReady: false });
    await until("the distrust", async () => (await distrustful.server()).upstream?.trouble ?? undefined);
    expect((await distrustful.server()).epochsServed).toEqual([]);
    const careless = service.addLookup({ tls: undefined, regServerCa: undefined, tlsVerify: false });
    await careless.start();
    expect(careless.log()).toContain("tlsVerify is false");
  }, 120_000);
});

test("scenario 8: epochs of one second under load: what was acknowledged is visible in its epoch and no other", async () => {
  await using service = await PresenceService.start({
    lookups: 2,
    settings: { epochSeconds: 1, retainEpochs: 3 },
  });
  const { latenciesMs, judged } = await loadAcrossEpochs(service, 3);
  expect(judged).toBe(24);
  expect(latenciesMs.length).toBeGreaterThan(20);
  // The bound of 200 ms for the p99 is judged by `bun run soak presence`, on a machine that does nothing else.
  console.log(`registration, slowest of ${latenciesMs.length}: ${latenciesMs.at(-1)?.toFixed(0)} ms`);
}, 120_000);

test("scenario 10: a registration server that is killed has every acknowledged registration afterwards", async () => {
  await using service = await PresenceService.start({ lookups: 2 });
  const client = service.client();
  const epoch = await service.epoch();
  for (let index = 0; index < 40; index++) {
    const announcement = { friend: friend(index + 1), payload: status(`number ${index}`) };
    await client.register(user(index).identity, [announcement], epoch);
  }
  service.regserver.signal("SIGKILL");
  await service.regserver.end("SIGKILL");
  // A torn record at the end of the log, as power loss leaves it.
  const registrations = join(service.regserver.dataDir, "registrations");
  const segment = readdirSync(registrations)
    .filter((name) => name.startsWith("log-"))
    .sort()
    .at(-1) as string;
  appendFileSync(join(registrations, segment), new Uint8Array(100).fill(0x5a));
  await service.regserver.start();
  expect(await service.epoch()).toBe(epoch);
  const next = await service.fastForward();
  for (let index = 0; index < 40; index++) {
    const { friends } = await client.lookup(user(index + 1).identity, [friend(index)], next);
    expect(friends[0]).toMatchObject({ state: "online", payload: status(`number ${index}`) });
  }
}, 120_000);

test("scenario 11: a lookup server goes on with what it has, recovers by itself, and never serves damaged data", async () => {
  await using service = await PresenceService.start({ lookups: 2 });
  const client = service.client();
  const epoch = await service.epoch();
  await client.register(user(0).identity, [{ friend: friend(1), payload: status("there") }], epoch);
  const next = await service.fastForward();
  const see = async (at: number) => statesOf(await client.lookup(user(1).identity, [friend(0)], at));
  expect(await see(next)).toEqual(["online"]);

  // Without the registration server: the epoch that is there is served, also after a restart; others are not.
  await service.regserver.end("SIGKILL");
  const [first] = service.lookups;
  await first?.end("SIGKILL");
  await first?.start();
  expect(await see(next)).toEqual(["online"]);
  await expect(see(next + 1)).rejects.toThrow(/insufficient servers/);
  // One that starts before the registration server has nothing yet, and says so.
  const early = service.addLookup();
  await early.start({ isReady: false });
  expect((await early.stats()).ready).toBe(false);
  await service.regserver.start();
  await until("the early one to recover", async () => ((await early.stats()).ready ? true : undefined));
  expect((await early.server()).epochsServed).toContain(next);

  // A data file that was damaged while the server was down is fetched again.
  await first?.end();
  writeFileSync(join(first?.dataDir ?? "", `data${next}.dat`), new Uint8Array(10_000));
  await first?.start();
  expect(first?.log()).toContain("is not served and removed");
  await until("the damaged file to be replaced", async () =>
    (await first?.server())?.epochsServed.includes(next) ? true : undefined,
  );
  expect(await see(next)).toEqual(["online"]);
}, 120_000);

test("scenario 23: two thousand idle connections stall nobody", async () => {
  await using service = await PresenceService.start({ lookups: 3 });
  const [first] = service.lookups;
  using _idle = await connectIdle(first?.port ?? 0, 2000);
  const report = await runHarness({
    client: service.clientOptions({ deadlineMs: 30_000 }),
    users: testUsers(30, 20),
    clock: realClock,
    concurrency: 10,
    isWaiting: false,
    onProgress: () => {},
  });
  expect(report).toMatchObject({ states: 600, wrong: 0, dropped: {} });
  const open = (await first?.stats())?.process.openFiles ?? 0;
  expect(open).toBeGreaterThan(2000);
}, 120_000);
