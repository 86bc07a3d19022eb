/** `node-x up` of the compiled executable, in a directory that holds nothing else. */
import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LoneExecutable, until } from "./executable.ts";
import { freePorts } from "./free-ports.ts";

test("uses the sample cluster, writes what of it is missing and leaves alone what is there", async () => {
  using alone = await LoneExecutable.copy();
  const configs = join(alone.directory, ".node-x/configs");
  mkdirSync(configs, { recursive: true });
  // The sample's ports may be taken on the machine that runs this test; files that exist are the operator's.
  const [port, tssPort, shardPort, archivePort, proxyPort] = (await freePorts(5)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const regServer = `http://127.0.0.1:${port}`;
  const [tss, shard] = [`127.0.0.1:${tssPort}`, `127.0.0.1:${shardPort}`];
  const servers: Record<string, { port: number; [key: string]: unknown }> = {
    dht0: { port: 0, respPort: 0 },
    dht1: { port: 0, respPort: 0 },
    queue0: { port: 0, respPort: 0 },
    logfiles0: { port: 0, httpPort: 0 },
    tss0: { port: tssPort, replicas: [tss] },
    shard0: { port: shardPort, replicas: [shard] },
    lookup0: { port: 0, regServer },
    lookup1: { port: 0, regServer },
    lookup2: { port: 0, regServer },
    regserver0: { port },
    archive0: { port: archivePort },
    proxy0: { port: proxyPort },
    storage0: {
      port: 0,
      nbdPort: 0,
      volumes: [{ name: "vol1", size: "8M", logSize: "4M" }],
      archive: `127.0.0.1:${archivePort}`,
      proxies: [`127.0.0.1:${proxyPort}`],
    },
  };
  const all: Record<string, object> = {
    ...servers,
    frontend0: { httpPort: 0, timestampServers: [tss], shards: [[shard]] },
    worker0: {
      ...{ controlPort: 0, dataPort: 0, app: "word-count" },
      ...{ sources: ["Lines=tcp://127.0.0.1:0"], sinks: ["counts=file:data/worker0/counts.out"] },
    },
  };
  const instances = Object.keys(all).map((name) => `data/${name}`);
  const own = Object.fromEntries(
    Object.entries({ ...all, hub0: { port: 0, metricsPort: 0, instances } }).map(([name, config]) => [
      `local.${name}.json`,
      { dataDir: `data/${name}`, ...config },
    ]),
  );
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
    const shown = ((await response?.json()) ?? []) as { condition: string }[];
    return shown.filter(({ condition }) => condition === "ready").length === instances.length
      ? true
      : undefined;
  });
  const html = await (await fetch(`http://127.0.0.1:${ports.port}/`)).text();
  const script = /src="(\/page-[0-9a-f]+\.js)"/.exec(html)?.[1];
  expect((await fetch(`http://127.0.0.1:${ports.port}${script}`)).status).toBe(200);
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
  expect(await stderr).toContain("using the sample cluster in .node-x/configs");
  expect(readdirSync(configs).sort()).toEqual([...Object.keys(own), "schema"].sort());
  expect(JSON.parse(readFileSync(join(configs, "local.dht0.json"), "utf8"))).toEqual(own["local.dht0.json"]);
}, 120_000);

test("starts every replica of a prefix of Diamond's text files, and stops them", async () => {
  using alone = await LoneExecutable.copy();
  const ports = await freePorts(5);
  const lines = (count: number) =>
    ports
      .splice(0, count)
      .map((port) => `host localhost:${port}\n`)
      .join("");
  const frontend = ports[4] as number;
  for (const [name, count] of [
    ["p.tss", 1],
    ["p0", 3],
    ["p.frontend0", 1],
  ] as const)
    writeFileSync(join(alone.directory, `${name}.config`), lines(count));
  const child = alone.start(["up", "p"]);
  const stderr = new Response(child.stderr).text();
  await until("the store to answer", async () => {
    if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}`);
    const key = `http://localhost:${frontend}/v1/keys/greeting`;
    const response = await fetch(key, { method: "PUT", body: "hello" }).catch(() => undefined);
    return response?.status === 200 ? true : undefined;
  });
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
  for (const name of ["p.tss.0", "p.shard0.0", "p.shard0.1", "p.shard0.2", "p.frontend0"])
    expect(await stderr).toContain(`${name} `);
}, 120_000);
