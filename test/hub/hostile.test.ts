/** Instances that say nonsense of themselves: every page shows what it can and none of them breaks. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chromium, type Browser } from "playwright-core";
import { families } from "../../src/hub/messages.ts";
import { becomesTrue } from "../e2e/page-checks.ts";
import { TestHub } from "./harness.ts";

const nonsense: Record<string, unknown> = {
  dht: {
    hashRange: { min: "zz", max: "<b>" },
    channels: [null, 5, { name: 7, records: "many" }],
    records: -1,
  },
  queue: { channels: [{ name: "q", usedBytes: 5, capacityBytes: 0 }, "x", { kind: {} }] },
  logfiles: { channelSizes: [{ name: "<i>web</i>", firstKey: -5, lastKey: 1e30 }, []] },
  shard: { group: "shard0", commit: "1", isPrimary: "yes", shard: { aborts: [1, 2] } },
  frontend: { frontend: { refused: { "<u>why</u>": 3, other: "x" } }, watches: null },
  archive: {
    volumes: [{ name: "v", restorable: [{ gid: 5 }, { gid: "7", time: "now" }, null], newestTime: -1e18 }],
  },
  proxy: { volumes: [{ name: "v", archives: [{ diffs: "1" }, 3] }, 4] },
  storage: { volumes: { name: "not a list" } },
  regserver: { epoch: "soon", epochSeconds: 0, epochsServed: ["<s>1</s>", {}] },
  lookup: { epoch: 1e300, epochsServed: 5, upstream: "gone" },
  worker: { keys: "many", latencyNs: [1], cluster: { checkpointAgeMs: -5 }, sources: 3 },
};

let servers: Bun.Server<unknown>[];
let hub: TestHub;

beforeAll(async () => {
  servers = Object.entries(nonsense).map(([role, own]) =>
    Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () =>
        Response.json({
          instance: `p.${role}0`,
          ...{ role, version: "1", state: "ready", ready: true, reasons: [], uptimeSeconds: 1e15, ports: {} },
          keyFigure: "",
          process: { rssBytes: 1e300, cpuUserSeconds: 0, cpuSystemSeconds: 0 },
          [role]: own,
        }),
    }),
  );
  hub = await TestHub.start({
    config: { instances: servers.map(({ port }) => `http://127.0.0.1:${port}`), allowsActions: true },
  });
});
afterAll(async () => {
  await hub[Symbol.asyncDispose]();
  for (const server of servers) await server.stop(true);
});

describe.skipIf(Bun.which("chromium") === null)("in a browser", () => {
  let browser: Browser;
  beforeAll(async () => {
    const args = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"];
    browser = await chromium.launch({ executablePath: Bun.which("chromium") as string, args });
  }, 120_000);
  afterAll(() => browser.close());

  test("every page is drawn, and what instances say is text", async () => {
    const page = await browser.newPage();
    page.setDefaultTimeout(60_000);
    const complaints: string[] = [];
    page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error.message}`));
    page.on("console", (message) => complaints.push(message.text()));
    const instances = servers.map(({ port }) => `instance/${encodeURIComponent(`http://127.0.0.1:${port}`)}`);
    for (const [index, place] of ["", ...families, "happenings", ...instances].entries()) {
      await page.goto(`${hub.base}/?${index}#/${place}`); // another address, so that it is loaded anew
      await page.waitForSelector("main h1");
      await becomesTrue(page, "document.querySelector('main').childElementCount > 1");
      expect(await page.locator("main :is(b, i, u, s)").count()).toBe(0);
    }
    expect(complaints).toEqual([]);
  }, 120_000);
});
