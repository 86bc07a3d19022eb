/** A prefix is a cluster: its files as one value, or every mistake in them before any host is touched. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { NxError } from "../../../src/core/errors.ts";
import { clusterOf, inDirectory, problemsOf, type Files } from "./directory.ts";

/** The example of Diamond's own documentation: two shards of three, a timestamp group, two frontends. */
const diamond: Files = {
  "p.tss.config": "host a:12348\nhost b:12348\nhost c:12348\n",
  "p0.config": "f 1\nreplica a:12345\nreplica b:12345\nreplica c:12345\n",
  "p1.config": "host a:12346\nhost b:12346\nhost c:12346\n",
  "p.frontend0.config": "host a:12354\n",
  "p.frontend1.config": "f 1\nreplica b:12354\n",
};

describe("files become instances", () => {
  test("of Diamond's text files: names, replicas, quorums, words and output files of the original", async () => {
    const { instances, hosts } = await clusterOf(diamond, "p", { DIAMOND_WORKING_DIR: "/srv/diamond" });
    expect(instances.map(({ name }) => name)).toEqual([
      "p.tss.0", "p.tss.1", "p.tss.2",
      "p.shard0.0", "p.shard0.1", "p.shard0.2", "p.shard1.0", "p.shard1.1", "p.shard1.2",
      "p.frontend0", "p.frontend1",
    ]); // prettier-ignore
    expect(hosts.map(({ name, access }) => [name, access])).toEqual(
      ["a", "b", "c"].map((name) => [name, { kind: "ssh", destination: name }]),
    );
    const byName = new Map(instances.map((instance) => [instance.name, instance]));
    expect(byName.get("p.shard0.1")).toMatchObject({
      role: "shard",
      index: 0,
      replica: 1,
      group: { size: 3, quorum: 2 },
      host: "b",
      words: ["shard", "-c", "{configs}/p0.config", "--set", "instance=p.shard0.1", "-i", "1"],
      dataDir: "/srv/diamond/p.shard0.1",
      ports: [{ key: "address", host: "b", port: 12345 }],
      outputFile: "output.backend.0.1.txt",
    });
    expect(byName.get("p.tss.2")).toMatchObject({
      words: ["tss", "-c", "{configs}/p.tss.config", "--set", "instance=p.tss.2", "-i", "2"],
      dataDir: "/srv/diamond/p.tss.2",
      outputFile: "output.tss.2.txt",
    });
    const frontend = byName.get("p.frontend1");
    expect(frontend).toMatchObject({
      words: [
        "frontend",
        "-c",
        "{configs}/p.frontend1.config",
        "--set",
        "instance=p.frontend1",
        "-b",
        "{configs}/p",
        "-N",
        "2",
      ],
      replica: undefined,
      group: undefined,
      outputFile: "output.frontend.1.txt",
    });
    expect(frontend?.files.map(({ name }) => name)).toEqual([
      "p.frontend1.config",
      "p.tss.config",
      "p0.config",
      "p1.config",
    ]);
  });

  test("of JSON files, with ports, directories and the digest of each file", async () => {
    await inDirectory({ "p.dht0.json": { port: 10000 }, "p.dht1.json": { port: 10001, respPort: 10201, dataDir: "data/one" } }, async (directory) => {
      const { instances, hosts } = await directory.cluster("p");
      expect(hosts).toEqual([
        { name: "localhost", access: { kind: "local" }, address: {}, workingDirectory: directory.path, tags: [], hostKeys: [] },
      ]);
      expect(instances.map(({ name, dataDir, ports, words, outputFile }) => ({ name, dataDir, ports, words, outputFile }))).toEqual([
        {
          name: "p.dht0",
          dataDir: join(directory.path, "p.dht0"),
          ports: [{ key: "port", host: "127.0.0.1", port: 10000 }, { key: "respPort", host: "127.0.0.1", port: 10200 }],
          words: ["dht", "--config", "{configs}/p.dht0.json"],
          outputFile: "output.dht.0.txt",
        },
        {
          name: "p.dht1",
          dataDir: join(directory.path, "data/one"),
          ports: [{ key: "port", host: "127.0.0.1", port: 10001 }, { key: "respPort", host: "127.0.0.1", port: 10201 }],
          words: ["dht", "--config", "{configs}/p.dht1.json"],
          outputFile: "output.dht.1.txt",
        },
      ]);
      const [file] = instances[0]?.files ?? [];
      const sha256 = new Bun.CryptoHasher("sha256").update('{"port":10000}').digest("hex");
      expect(file).toEqual({ path: join(directory.path, "p.dht0.json"), name: "p.dht0.json", sha256, bytes: 14 });
    });
  }); // prettier-ignore

  test("that need more than others say so: volumes in LVM, a port below 1024", async () => {
    const { instances } = await clusterOf({
      "p.archive0.json": { volumeGroup: "vg0" },
      "p.proxy0.json": {},
      "p.storage0.json": {},
      "p.dht0.json": { port: 443 },
    });
    expect(instances.map(({ name, privileges }) => [name, privileges])).toEqual([
      ["p.archive0", ["lvm"]],
      ["p.proxy0", []],
      ["p.storage0", []],
      ["p.dht0", ["lowPort"]],
    ]);
  });

  test("the environment of the operator is not that of the instances", async () => {
    const { instances } = await clusterOf({ "p.dht0.json": {} }, "p", { NODE_X_DHT_PORT: "1" });
    expect(instances[0]?.ports[0]?.port).toBe(10000);
  });

  test("all of it survives JSON", async () => {
    const cluster = await clusterOf(diamond);
    const plain = JSON.parse(JSON.stringify(cluster)) as typeof cluster;
    expect(plain.instances.map(({ name, words, rollout }) => ({ name, words, rollout }))).toEqual(
      cluster.instances.map(({ name, words, rollout }) => ({ name, words, rollout })),
    );
  });
});

describe("start order", () => {
  test.each<[string, Files, string[]]>([
    ["archives, proxies, storages", { "p.storage0.json": {}, "p.proxy0.json": {}, "p.archive0.json": {}, "p.hub0.json": {} }, ["archive0", "proxy0", "storage0", "hub0"]],
    ["timestamp servers, shards, frontends", { "p.frontend0.config": "host localhost:3", "p0.config": "host localhost:2", "p.tss.config": "host localhost:1" }, ["tss.0", "shard0.0", "frontend0"]],
    ["regservers, lookups", { "p.lookup0.json": {}, "p.regserver0.json": {} }, ["regserver0", "lookup0"]],
  ])("%s", async (_, files, order) => {
    const { instances } = await clusterOf(files);
    expect(instances.map(({ name }) => name)).toEqual(order.map((name) => `p.${name}`));
  }); // prettier-ignore

  test("numbers are numbers: dht10 comes after dht9", async () => {
    const files = Object.fromEntries(
      Array.from({ length: 11 }, (_, index) => [`p.dht${index}.json`, { port: 0, respPort: 0 }]),
    );
    const { instances } = await clusterOf(files);
    expect(instances.at(-1)?.name).toBe("p.dht10");
  });
});

describe("S2: mistakes of the whole are found before any host is touched", () => {
  const free = { port: 0, respPort: 0 };
  test.each<[string, Files, string[]]>([
    ["a gap in the numbers", { "p.dht0.json": free, "p.dht2.json": free }, ["p.dht2.json:1:1: wanted dht 1 before it: numbers start at 0 and have no gaps, got dht 2"]],
    ["numbers that do not start at 0", { "p.tss.config": "host a:1", "p1.config": "host a:2", "p.frontend0.config": "host a:3" }, ["p1.config:1:1: wanted shard 0 before it: numbers start at 0 and have no gaps, got shard 1"]],
    ["one port twice on one host", { "p.dht0.json": {}, "p.dht1.json": { port: 10200, respPort: 10201 } }, ["p.dht1.json:1:9: port: wanted a port of its own, got 10200, which p.dht0 (p.dht0.json:1) uses on the same host (localhost)"]],
    ["one port twice over two files of a group", { ...diamond, "p1.config": "host a:12346\nhost b:12345\n" }, ["p1.config:2:6: wanted a port of its own, got 12345, which p.shard0.1 (p0.config:3) uses on the same host (b)"]],
    ["a wildcard address takes the port of all", { "p.cluster.json": { hosts: { a: {} }, placement: { dht0: "a", dht1: "a" } }, "p.dht0.json": { host: "0.0.0.0" }, "p.dht1.json": { host: "127.0.0.1", respPort: 1 } }, ["p.dht1.json:1:1: port: wanted a port of its own, got 10000, which p.dht0 (p.dht0.json:1) uses on the same host (a)"]],
    ["one directory for two", { "p.dht0.json": { ...free, dataDir: "d" }, "p.dht1.json": { ...free, dataDir: "./d/../d" } }, ["p.dht1.json:1:34: dataDir: wanted a directory of its own, got \"DIR/d\", which p.dht0 (p.dht0.json:1) uses"]],
    ["a directory inside another's", { "p.dht0.json": { ...free, dataDir: "d" }, "p.dht1.json": { ...free, dataDir: "d/e" } }, ["p.dht1.json:1:34: dataDir: wanted a directory of its own, got \"DIR/d/e\", which overlaps with the one that p.dht0 (p.dht0.json:1) uses"]],
    ["a directory where deploying works", { "p.dht0.json": { ...free, dataDir: ".node-x/p/releases/x" } }, ["p.dht0.json:1:34: dataDir: wanted a directory apart from DIR/.node-x/p/releases, which deploying uses, got \"DIR/.node-x/p/releases/x\""]],
    ["a role that others need", { "p.storage0.json": {} }, ["p.storage0.json:1:1: wanted a archive in this prefix: a storage needs one, got none", "p.storage0.json:1:1: wanted a proxy in this prefix: a storage needs one, got none"]],
    ["shards without timestamp servers and frontends", { "p0.config": "host a:1" }, ["p0.config:1:1: wanted a tss in this prefix: a shard needs one, got none", "p0.config:1:1: wanted a frontend in this prefix: a shard needs one, got none"]],
    ["a peer that is not there", { "p.archive0.json": {}, "p.proxy0.json": { archives: ["127.0.0.1:13021"] }, "p.storage0.json": {} }, ["p.proxy0.json:1:13: archives: wanted the address of a archive of this prefix, got 127.0.0.1:13021, where none listens"]],
    ["two files of one instance", { ...diamond, "p.shard0.json": { port: 1 } }, ["p0.config:1:1: wanted one file for shard0, got another beside p.shard0.json"]],
    ["an instance with another name", { "p.dht0.json": { ...free, instance: "mine" } }, ['p.dht0.json:1:35: instance: wanted "p.dht0", as the file\'s name says, got "mine"']],
    ["an address that names no host", { "p.dht0.json": { ...free, host: "0.0.0.0" } }, ['p.dht0.json:1:31: host: wanted an address of one host, or "placement": { "dht0": HOST } in the cluster file, got 0.0.0.0']],
  ])("%s", async (_, files, problems) => {
    await inDirectory(files, async (directory) => {
      const found = await directory.problems("p");
      expect(found.map((text) => text.replaceAll(directory.path, "DIR"))).toEqual(problems);
    });
  }); // prettier-ignore

  test("secrets of this machine are looked at where its instances look; those of other hosts are there", async () => {
    await inDirectory(
      {
        "p.dht0.json": { ...free, adminTokenFile: "t" },
        "p.dht1.json": { ...free, host: "b", adminTokenFile: "/t" },
      },
      async (directory) => {
        const [problem, ...others] = await directory.problems("p");
        expect(problem).toContain(
          `p.dht0.json:1:41: adminTokenFile: wanted a file with one secret, private to its owner, got ${directory.path}/t, which does not exist`,
        );
        expect(others).toEqual([]);
      },
    );
  });

  test("a file with a mistake makes no gap", async () => {
    expect(await problemsOf({ "p.dht0.json": { port: -1 }, "p.dht1.json": free })).toEqual([
      "p.dht0.json:1:9: port: wanted an integer from 0 to 65535, got -1",
    ]);
  });

  test("mistakes of several files and kinds are told at once", async () => {
    const problems = await problemsOf({
      "p0.config": "host a:1\nhots b:1\n",
      "p.tss.config": "",
      "p.dht0.json": '{ "prot": 1, "port": 0, "respPort": 0 }',
      "p.dht2.json": free,
    });
    expect(problems.map((text) => text.replace(/:? wanted.*/, "")).sort()).toEqual([
      "p.dht0.json:1:3: prot",
      "p.dht2.json:1:1",
      "p.tss.config:1:1",
      "p.tss.config:1:1",
      "p0.config:2:1",
    ]);
  });
});

describe("a file belongs to one prefix", () => {
  const group = "host a:1\n";
  const p = { "p.tss.config": "host a:100", "p.frontend0.config": "host a:101" };
  const p1 = { "p1.tss.config": "host a:200", "p1.frontend0.config": "host a:201" };
  const shards = Object.fromEntries(
    Array.from({ length: 10 }, (_, n) => [`p${n}.config`, `host a:${n + 1}`]),
  );

  test("p10.config is shard 10 of p when there is no p1", async () => {
    const { instances } = await clusterOf({ ...p, ...shards, "p10.config": "host a:11" });
    expect(instances.filter(({ role }) => role === "shard").at(-1)?.name).toBe("p.shard10.0");
  });

  test("it is shard 0 of p1 when there is no p", async () => {
    const { instances } = await clusterOf({ ...p1, "p10.config": group }, "p1");
    expect(instances.map(({ name }) => name)).toEqual(["p1.tss.0", "p1.shard0.0", "p1.frontend0"]);
  });

  test.each(["p", "p1"])("claimed by p and p1 it is refused (%s asked)", async (prefix) => {
    const problems = await problemsOf({ ...p, ...p1, ...shards, "p10.config": "host a:11" }, prefix);
    expect(problems).toContain(
      "p10.config:1:1: wanted a file of one prefix, got one that p and p1 both claim",
    );
  });

  test("what matches nothing is left alone; a slip of a role is mentioned", async () => {
    await inDirectory({ "p.dht0.json": {}, "p.dth1.json": "garbage", "p.dht0.json.bak": "x", "pp.dht0.json": "x", "p.x.dht0.json": "x", "p.dht01.json": "x" }, async (directory) => {
      expect(await directory.problems("p")).toEqual([]);
      expect(await directory.notices("p")).toEqual(["p.dth1.json:1:1: warning: there is no role dth (did you mean dht?); not read"]);
    });
  }); // prettier-ignore

  test("a prefix without files is an error that says what would match", async () => {
    expect(inDirectory({ "q.dht0.json": {} }, (directory) => directory.problems("p"))).rejects.toThrow(
      "no file matches p.<role><n>.json, p<n>.config, p.tss.config or p.frontend<n>.config",
    );
  });

  test.each(["q.dht0.json", "q.tss.config", "q0.config", "q.cluster.json"])(
    "%s in the place of a prefix: the hint is the prefix",
    async (name) => {
      const error: unknown = await inDirectory({ [name]: {} }, (directory) => directory.problems(name)).catch(
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(NxError);
      expect((error as NxError).hint).toMatch(/that is one of its files: give the cluster's prefix, (.*\/)?q$/);
    },
  );
});
