/** prefix.cluster.json: hosts, how to reach them, placement and rollout. */
import { describe, expect, test } from "bun:test";
import { clusterOf, problemsOf } from "./directory.ts";

const two = { "p.dht0.json": { host: "10.0.0.1" }, "p.dht1.json": { host: "10.0.0.2" } };

describe("hosts", () => {
  test("are found by their private and public addresses, and reached by the public one", async () => {
    const { instances, hosts } = await clusterOf(
      {
        ...two,
        "p.cluster.json": {
          workingDirectory: "/srv/nx",
          hosts: {
            east: {
              ssh: { user: "deploy", port: 2222, key: "~/.ssh/id", jump: "bastion" },
              address: { private: "10.0.0.1", public: "203.0.113.1" },
              tags: ["rack1"],
              hostKeys: ["SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"],
            },
            west: { address: { private: "10.0.0.2" }, workingDirectory: "/data" },
          },
        },
      },
      "p",
      { HOME: "/home/me", DIAMOND_WORKING_DIR: "/ignored" },
    );
    expect(hosts).toEqual([
      {
        name: "east",
        access: { kind: "ssh", destination: "203.0.113.1", user: "deploy", port: 2222, keyFile: "/home/me/.ssh/id", jump: "bastion" },
        address: { private: "10.0.0.1", public: "203.0.113.1" },
        workingDirectory: "/srv/nx",
        tags: ["rack1"],
        hostKeys: ["SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"],
      },
      { name: "west", access: { kind: "ssh", destination: "10.0.0.2" }, address: { private: "10.0.0.2" }, workingDirectory: "/data", tags: [], hostKeys: [] },
    ]);
    expect(instances.map(({ name, host, dataDir }) => [name, host, dataDir])).toEqual([
      ["p.dht0", "east", "/srv/nx/p.dht0"],
      ["p.dht1", "west", "/data/p.dht1"],
    ]);
  }); // prettier-ignore

  test("without an entry are their address; the same loopback host whatever its spelling", async () => {
    const { hosts } = await clusterOf({
      "p.dht0.json": { host: "127.0.0.2" },
      "p.dht1.json": { host: "localhost" },
      "p.dht2.json": { host: "db7" },
    });
    expect(hosts.map(({ name, access, workingDirectory }) => [name, access.kind, workingDirectory.startsWith("/var")])).toEqual([
      ["localhost", "local", false],
      ["db7", "ssh", true],
    ]);
  }); // prettier-ignore

  test("on loopback are used without ssh unless the file asks for it", async () => {
    const hosts = {
      "127.0.0.2": { workingDirectory: "/a" },
      "127.0.0.3": { workingDirectory: "/b", ssh: { port: 2200 } },
    };
    const cluster = await clusterOf({
      "p.cluster.json": { hosts },
      "p.dht0.json": { host: "127.0.0.2" },
      "p.dht1.json": { host: "127.0.0.3" },
    });
    expect(cluster.hosts.map(({ access }) => access)).toEqual([
      { kind: "local" },
      { kind: "ssh", destination: "127.0.0.3", port: 2200 },
    ]);
  });

  test("of one machine must not share a working directory", async () => {
    const problems = await problemsOf({
      "p.cluster.json": { hosts: { "127.0.0.2": { workingDirectory: "/a" }, "127.0.0.3": { workingDirectory: "/a/b" } } },
      "p.dht0.json": { host: "127.0.0.2" },
      "p.dht1.json": { host: "127.0.0.3" },
    });
    expect(problems).toEqual([
      "p.dht1.json:1:9: wanted a working directory of its own for host 127.0.0.3, got /a/b, which overlaps with that of 127.0.0.2 on the same machine",
    ]);
  }); // prettier-ignore
});

describe("placement", () => {
  test("wins over the instance's address, which may then be a wildcard", async () => {
    const { instances } = await clusterOf({
      "p.cluster.json": { hosts: { a: {}, b: {} }, placement: { dht0: "b", "shard0.1": "a" } },
      "p.dht0.json": { host: "0.0.0.0", port: 1, respPort: 2 },
      "p.tss.config": "host a:10\n",
      "p0.config": "host a:11\nhost b:11\nhost b:12\n",
      "p.frontend0.config": "host a:12",
    }, "p").catch((error: Error) => { throw new Error(error.message); });
    const at = Object.fromEntries(instances.map(({ name, host }) => [name, host]));
    expect(at).toMatchObject({ "p.dht0": "b", "p.shard0.0": "a", "p.shard0.1": "a", "p.shard0.2": "b" });
  }); // prettier-ignore

  test("of an unknown instance or on an unknown host is a mistake with the nearest name", async () => {
    expect(await problemsOf({ ...two, "p.cluster.json": { hosts: { east: {} }, placement: { dht0: "eats" } } })).toEqual([
      'p.cluster.json:1:42: placement.dht0: wanted a host of this file, got "eats" (did you mean "east"?)',
    ]);
    expect(await problemsOf({ ...two, "p.cluster.json": { hosts: { east: {} }, placement: { dth0: "east" } } })).toEqual([
      'p.cluster.json:1:35: placement.dth0: wanted an instance of this prefix, got "dth0" (did you mean "dht0"?)',
    ]);
  }); // prettier-ignore
});

describe("rollout", () => {
  const group = (size: number) => Array.from({ length: size }, (_, index) => `host h${index}:1\n`).join("");
  const family = (size: number) => ({
    "p.tss.config": "host t:1",
    "p0.config": group(size),
    "p.frontend0.config": "host f:1",
  });

  test("the role's word wins over the host's, and that over the cluster's, key by key", async () => {
    const { instances } = await clusterOf({
      ...two,
      "p.cluster.json": {
        hosts: { a: { address: { private: "10.0.0.1" }, rollout: { healthyForMs: 2, readyTimeoutMs: 200 } } },
        rollout: { healthyForMs: 1, readyTimeoutMs: 100, stopTimeoutMs: 7 },
        roles: { dht: { rollout: { readyTimeoutMs: 300, unavailableMax: 2 } } },
      },
    });
    expect(instances.map(({ rollout }) => rollout)).toEqual([
      { unavailableMax: 2, healthyForMs: 2, readyTimeoutMs: 300, stopTimeoutMs: 7 },
      { unavailableMax: 2, healthyForMs: 1, readyTimeoutMs: 300, stopTimeoutMs: 7 },
    ]);
  }); // prettier-ignore

  test("an instance gets its own shutdown deadline and 5 s before it is killed", async () => {
    const { instances } = await clusterOf({ "p.dht0.json": { shutdownTimeoutMs: 90_000 } });
    expect(instances[0]?.rollout.stopTimeoutMs).toBe(95_000);
  });

  test.each([[1, 1], [2, 1], [3, 1], [5, 2], [7, 3]])("a group of %d never has more than %d down, whatever is asked", async (size, down) => {
    const { instances } = await clusterOf({ ...family(size), "p.cluster.json": { rollout: { unavailableMax: "100%" } } });
    expect(instances.find(({ role }) => role === "shard")?.rollout.unavailableMax).toBe(down);
  }); // prettier-ignore

  test("nor has one whose replicas have a JSON file each", async () => {
    const replicas = ["a:1", "b:1", "c:1"];
    const files = Object.fromEntries(
      ["a", "b", "c"].map((host, index) => [
        `p.tss${index}.json`,
        { host, port: 1, replicas, replica: index },
      ]),
    );
    const { instances } = await clusterOf({
      ...files,
      "p0.config": "host s:1",
      "p.frontend0.config": "host f:1",
      "p.cluster.json": { rollout: { unavailableMax: 3 } },
    });
    expect(
      instances
        .filter(({ role }) => role === "tss")
        .map(({ group, rollout }) => [group, rollout.unavailableMax]),
    ).toEqual(Array(3).fill([{ size: 3, quorum: 2 }, 1]));
  });

  test("a quarter of ten is three", async () => {
    const files = Object.fromEntries(
      Array.from({ length: 10 }, (_, n) => [`p.dht${n}.json`, { host: `h${n}` }]),
    );
    const { instances } = await clusterOf(files);
    expect(instances[0]?.rollout.unavailableMax).toBe(3);
  });
});

describe("mistakes", () => {
  test.each<[string, unknown, string]>([
    ["an unknown key", { host: {} }, '1:2: host: wanted a known key, got "host" (did you mean "hosts"?)'],
    ["a relative directory", { workingDirectory: "srv" }, '1:21: workingDirectory: wanted an absolute path, got "srv"'],
    ["an option as a user", { hosts: { a: { ssh: { user: "-oProxyCommand=x" } } } }, '1:30: hosts.a.ssh.user: wanted a name or an address, without blanks, got "-oProxyCommand=x"'],
    ["an option as a host", { hosts: { a: { ssh: { host: "-x" } } } }, '1:30: hosts.a.ssh.host: wanted a name or an address, without blanks, got "-x"'],
    ["an option as a host's name", { hosts: { "-oX": {} } }, '1:11: hosts: wanted each key to be a host\'s name, got "-oX"'],
    ["a key that is none", { hosts: { a: { hostKeys: ["MD5:00"] } } }, '1:28: hosts.a.hostKeys[0]: wanted SHA256:… as ssh shows it, or a key as in known_hosts, got "MD5:00"'],
    ["a share above all", { rollout: { unavailableMax: "101%" } }, '1:30: rollout.unavailableMax: wanted a number of at least 1, or a share such as "25%", got "101%"'],
    ["an address that is an option", { hosts: { a: { address: { public: "-oX" } } } }, '1:36: hosts.a.address.public: wanted a host name or an IP address, got "-oX"'],
  ])("%s", async (_, file, problem) => {
    expect(await problemsOf({ "p.dht0.json": {}, "p.cluster.json": file as object })).toEqual([`p.cluster.json:${problem}`]);
  }); // prettier-ignore

  test("of the text itself, several at once", async () => {
    const problems = await problemsOf({
      "p.dht0.json": {},
      "p.cluster.json": '{ "hosts": { "a": {} \n "placement": } }',
    });
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.every((text) => text.startsWith("p.cluster.json:"))).toBe(true);
  });
});
