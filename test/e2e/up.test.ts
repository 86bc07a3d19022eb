/** `node-x up` of the compiled executable, in a directory that holds nothing else. */
import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LoneExecutable, until } from "./executable.ts";

test("uses the sample cluster, writes what of it is missing and leaves alone what is there", async () => {
  using alone = await LoneExecutable.copy();
  const configs = join(alone.directory, ".node-x/configs");
  mkdirSync(configs, { recursive: true });
  // The sample's ports may be taken on the machine that runs this test; files that exist are the operator's.
  const port = freePort();
  const regServer = `http://127.0.0.1:${port}`;
  const own = {
    "local.dht0.json": { dataDir: "data/dht0", port: 0, respPort: 0 },
    "local.dht1.json": { dataDir: "data/dht1", port: 0, respPort: 0 },
    "local.queue0.json": { dataDir: "data/queue0", port: 0, respPort: 0 },
    "local.hub0.json": {
      dataDir: "data/hub0",
      port: 0,
      instances: ["data/dht0", "data/dht1", "data/queue0"],
    },
    "local.lookup0.json": { dataDir: "data/lookup0", port: 0, regServer },
    "local.lookup1.json": { dataDir: "data/lookup1", port: 0, regServer },
    "local.lookup2.json": { dataDir: "data/lookup2", port: 0, regServer },
    "local.regserver0.json": { dataDir: "data/regserver0", port },
  };
  for (const [name, config] of Object.entries(own))
    writeFileSync(join(configs, name), JSON.stringify(config));
  const child = alone.start(["up"]);
  const stderr = new Response(child.stderr).text();
  const ports = await until("the page's port", () => {
    if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}`);
    try {
      return JSON.parse(readFileSync(join(alone.directory, "data/hub0/ports.json"), "utf8")) as {
        port: number;
      };
    } catch {
      return undefined;
    }
  });
  await until("all nodes to be ready on the page", async () => {
    const response = await fetch(`http://127.0.0.1:${ports.port}/api/instances`).catch(() => undefined);
    const instances = ((await response?.json()) ?? []) as { condition: string }[];
    return instances.filter(({ condition }) => condition === "ready").length === 3 ? true : undefined;
  });
  const html = await (await fetch(`http://127.0.0.1:${ports.port}/`)).text();
  const script = /src="(\/page-[0-9a-f]+\.js)"/.exec(html)?.[1];
  expect((await fetch(`http://127.0.0.1:${ports.port}${script}`)).status).toBe(200);
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
  expect(await stderr).toContain("using the sample cluster in .node-x/configs");
  expect(readdirSync(configs).sort()).toEqual([
    "local.dht0.json",
    "local.dht1.json",
    "local.hub0.json",
    "local.queue0.json",
    "local.lookup0.json",
    "local.lookup1.json",
    "local.lookup2.json",
    "local.regserver0.json",
    "schema",
  ]);
  expect(JSON.parse(readFileSync(join(configs, "local.dht0.json"), "utf8"))).toEqual(own["local.dht0.json"]);
}, 60_000);

/** A port that was free a moment ago, for servers that others must find. */
function freePort(): number {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  void server.stop(true);
  return server.port ?? 0;
}
