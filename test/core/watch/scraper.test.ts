/** The scraper against admin endpoints that answer, lie, stay silent and vanish. */
import { afterEach, describe, expect, test } from "bun:test";
import { realClock, type Clock } from "../../../src/core/seams/clock.ts";
import { Scraper, type Target } from "../../../src/core/watch/scraper.ts";
import { HISTORY_LENGTH, type InstanceSnapshot } from "../../../src/core/watch/snapshot.ts";

const servers: Bun.Server<unknown>[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(true);
});

function endpoint(answer: (request: Request) => Response | Promise<Response>): Target {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: answer });
  servers.push(server);
  return {
    name: `target-${servers.length}`,
    endpoint: { url: `http://127.0.0.1:${server.port}`, token: "t" },
  };
}

const stats = (over: Record<string, unknown> = {}) => ({
  instance: "local.dht0",
  role: "dht",
  version: "1.2.3",
  state: "ready",
  ready: true,
  reasons: [],
  uptimeSeconds: 10,
  ports: { respPort: 10200 },
  keyFigure: "7 records",
  process: { rssBytes: 1000, cpuUserSeconds: 1, cpuSystemSeconds: 0.5 },
  throughput: { total: 100, unit: "requests" },
  ...over,
});

/** A clock whose monotonic time is set by hand; nothing is scheduled. */
function handClock(): Clock & { atMs: number } {
  return { ...realClock, atMs: 0, monotonicMs() { return this.atMs; }, every: () => ({ cancel() {} }) }; // prettier-ignore
}

function scraper(targets: Target[], clock: Clock = handClock()) {
  const made = new Scraper({ clock, periodMs: 1000, timeoutMs: 300, onRound() {} });
  made.setTargets(targets);
  return { scraper: made, at: (index: number) => made.snapshots[index] as InstanceSnapshot };
}

describe("the scraper", () => {
  test("shows what an instance says, and figures per second from the second answer on", async () => {
    let current = stats();
    const clock = handClock();
    const { scraper: made, at } = scraper([endpoint(() => Response.json(current))], clock);
    clock.atMs = 1000;
    await made.round();
    expect(at(0)).toMatchObject({
      condition: "ready",
      name: "local.dht0",
      keyFigure: "7 records",
      rssBytes: 1000,
    });
    expect(at(0).throughput).toBeUndefined();
    clock.atMs = 3000;
    current = stats({
      uptimeSeconds: 12,
      throughput: { total: 1100, unit: "requests" },
      process: { rssBytes: 1, cpuUserSeconds: 1.5, cpuSystemSeconds: 0.5 },
    });
    await made.round();
    expect(at(0).throughput).toEqual({ perSecond: 500, unit: "requests" });
    expect(at(0).cpuPercent).toBe(25);
  });

  test("makes no figure across a restart", async () => {
    let current = stats({ throughput: { total: 100_000, unit: "requests" } });
    const clock = handClock();
    const { scraper: made, at } = scraper([endpoint(() => Response.json(current))], clock);
    await made.round();
    clock.atMs = 1000;
    current = stats({ uptimeSeconds: 0, throughput: { total: 5, unit: "requests" } });
    await made.round();
    expect(at(0).throughput).toBeUndefined();
  });

  test("shows reasons, sends the token, and names who cannot be reached", async () => {
    let authorization: string | null = null;
    const busy = endpoint((request) => {
      authorization = request.headers.get("authorization");
      return Response.json(stats({ ready: false, state: "starting", reasons: ["loading: 37 %"] }));
    });
    const gone: Target = { name: "/srv/gone", endpoint: { socket: "/nonexistent/admin.sock" } };
    const { scraper: made, at } = scraper([busy, gone]);
    await made.round();
    expect(authorization).toBe("Bearer t" as never);
    expect(at(0)).toMatchObject({ condition: "not ready", reasons: ["loading: 37 %"], state: "starting" });
    expect(at(1)).toMatchObject({
      condition: "unreachable",
      name: "gone",
      reasons: [expect.stringContaining("nobody listens on this socket")],
    });
  });

  test("keeps the name of one that stopped answering", async () => {
    let isGone = false;
    const { scraper: made, at } = scraper([
      endpoint(() => (isGone ? new Response("no", { status: 500 }) : Response.json(stats()))),
    ]);
    await made.round();
    isGone = true;
    await made.round();
    expect(at(0)).toMatchObject({
      condition: "unreachable",
      name: "local.dht0",
      role: "dht",
      rssBytes: undefined,
    });
    expect(at(0).reasons[0]).toContain("answers 500");
  });

  test("believes no answer that is not one", async () => {
    const bodies = [
      "",
      "hello",
      "[]",
      '{"ready":true}',
      JSON.stringify(stats({ reasons: "none" })),
      JSON.stringify(stats({ process: null })),
    ];
    const targets = bodies.map((body) => endpoint(() => new Response(body)));
    const { scraper: made } = scraper(targets);
    await made.round();
    expect(made.snapshots.map(({ condition }) => condition)).toEqual(bodies.map(() => "unreachable"));
  });

  test("is not held up by one that accepts and stays silent", async () => {
    const silent = endpoint(() => new Promise<Response>(() => {}));
    const { scraper: made, at } = scraper([silent, endpoint(() => Response.json(stats()))]);
    await made.round();
    expect(at(0)).toMatchObject({
      condition: "unreachable",
      reasons: [expect.stringContaining("no answer within 300 ms")],
    });
    expect(at(1).condition).toBe("ready");
  });

  test("keeps a bounded history, and what is known of targets that stay", async () => {
    const kept = endpoint(() => Response.json(stats()));
    const { scraper: made } = scraper([kept, endpoint(() => Response.json(stats()))]);
    for (let round = 0; round < HISTORY_LENGTH + 5; round++) await made.round();
    made.setTargets([kept]);
    expect(made.histories).toHaveLength(1);
    expect(made.histories[0]?.history).toHaveLength(HISTORY_LENGTH);
    expect(made.snapshots[0]?.condition).toBe("ready");
  });
});
