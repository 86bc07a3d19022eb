/** The search box's way to a log store, plain and over TLS. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAuthority, issueCertificate } from "../../src/core/certificates.ts";
import { loadConfig } from "../../src/core/config/load.ts";
import { Instance } from "../../src/core/kernel/instance.ts";
import { logOutput } from "../../src/core/logging/log.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { roleEntry, schemaCatalog } from "../../src/roles.ts";
import { TestHub } from "./harness.ts";

const top = mkdtempSync(join(tmpdir(), "node-x-search-"));
const at = (name: string) => join(top, name);
const stores: Instance[] = [];
let hub: TestHub;

async function startStore(name: string, config: object): Promise<void> {
  writeFileSync(at(`${name}.json`), JSON.stringify({ dataDir: at(name), port: 0, httpPort: 0, ...config }));
  const sources = { file: at(`${name}.json`), environment: {}, sets: [], workingDirectory: top };
  const options = { world: realWorld(), logOutput: logOutput("fatal", []), onFatal() {} };
  const role = await roleEntry("logfiles").load();
  stores.push(await Instance.start(role, await loadConfig(sources, schemaCatalog), options));
}

beforeAll(async () => {
  const authority = await createAuthority("ours", 10, Date.now());
  const hosts = ["127.0.0.1"];
  const pair = await issueCertificate(authority, { name: "s", hosts, days: 10, nowMs: Date.now() });
  writeFileSync(at("ca.crt"), authority.certificate);
  writeFileSync(at("s.crt"), pair.certificate);
  writeFileSync(at("s.key"), pair.key, { mode: 0o600 });
  await startStore("p.logfiles0", {});
  await startStore("p.logfiles1", { tls: { cert: at("s.crt"), key: at("s.key") } });
  for (const [index, { ports }] of stores.entries()) {
    const url = `${index === 0 ? "http" : "https"}://127.0.0.1:${ports.httpPort}/channels/web/records`;
    const body = ["GET /a 200", "GET /b 404"].map((value) => JSON.stringify({ value })).join("\n");
    const tls = { ca: authority.certificate };
    expect((await fetch(url, { method: "POST", body, tls } as RequestInit)).status).toBe(200);
  }
  hub = await TestHub.start({
    config: { instances: [at("p.logfiles0"), at("p.logfiles1")], scrapeCa: at("ca.crt") },
  });
});
afterAll(async () => {
  await hub[Symbol.asyncDispose]();
  for (const store of stores) await store.stop();
  rmSync(top, { recursive: true, force: true });
});

const search = async (words: Record<string, string>) => {
  const response = await hub.fetch(`/api/logs?${new URLSearchParams(words)}`);
  return { status: response.status, ...((await response.json()) as { lines?: string[]; error?: string }) };
};

describe.each(["p.logfiles0", "p.logfiles1"])("%s", (name) => {
  test("is searched by text and by expression", async () => {
    const place = { instance: at(name), channel: "web" };
    const byText = await search({ ...place, contains: "404" });
    expect(byText.lines?.map((line) => (JSON.parse(line) as { value: string }).value)).toEqual([
      "GET /b 404",
    ]);
    expect((await search({ ...place, regex: "get /[ab]", ignoreCase: "true" })).lines).toHaveLength(2);
    expect((await search({ ...place, limit: "1" })).lines).toHaveLength(1);
  });

  test("says in its own words what it cannot do", async () => {
    const place = { instance: at(name), channel: "web" };
    expect(await search({ ...place, regex: "(" })).toMatchObject({
      status: 400,
      error: expect.stringContaining("expression"),
    });
    expect(await search({ ...place, channel: "none" })).toMatchObject({
      status: 400,
      error: expect.stringContaining("none"),
    });
    expect((await search({ ...place, channel: "../../x" })).status).toBe(400);
  });
});

test("who is no log store is not asked", async () => {
  expect((await search({ instance: "/etc", channel: "web" })).status).toBe(404);
  expect((await search({ instance: at("p.logfiles0") })).status).toBe(400);
  expect((await search({ instance: at("p.logfiles0"), channel: "web", limit: "100000" })).status).toBe(400);
});
