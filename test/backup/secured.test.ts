/** Encrypted connections between servers of ours: found over the plain port, refused without trust or token; limits. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { controllerNet } from "../../src/backup/client/controller-net.ts";
import { securedNet } from "../../src/backup/wire/secured-net.ts";
import { createAuthority, issueCertificate } from "../../src/core/certificates.ts";
import { cli, temporaryDirectory } from "../cli/helpers.ts";
import { at, forwardingTo, Group, hasPoint, replicate, settled } from "./group.ts";
import { Repeater } from "./repeater.ts";
import { controllerOf, type Running, VOLUME } from "./servers.ts";
import { Group as StorageGroup } from "./storage/cluster.ts";

let place: ReturnType<typeof temporaryDirectory>;
const path = (name: string) => join(place.path, name);
const write = (name: string, text: string) => {
  writeFileSync(path(name), text);
  chmodSync(path(name), 0o600);
};

beforeAll(async () => {
  place = temporaryDirectory();
  const nowMs = Date.now();
  for (const name of ["ours", "foreign"]) {
    const authority = await createAuthority(name, 30, nowMs);
    const pair = await issueCertificate(authority, { name: "server", hosts: ["127.0.0.1"], days: 10, nowMs });
    write(`${name}.ca`, authority.certificate);
    write(`${name}.crt`, pair.certificate);
    write(`${name}.key`, pair.key);
  }
  write("token", "a secret that servers share");
  write("other-token", "another one");
});
afterAll(() => place.remove());

const secure = (more: Record<string, unknown> = {}) => ({
  securePort: 0,
  secure: { cert: path("ours.crt"), key: path("ours.key"), tokenFile: path("token"), ...more },
});
const peers = (more: Record<string, unknown> = {}) => ({
  peers: { ca: path("ours.ca"), tokenFile: path("token"), ...more },
});

/** A controller whose connections are encrypted as these variables say. */
function encrypted(group: Group, { port }: Running, more: Record<string, string> = {}) {
  const world = group.world();
  const environment = { NODE_X_WALB_CA: path("ours.ca"), NODE_X_WALB_TOKEN_FILE: path("token"), ...more };
  return controllerOf(
    { ...world, net: controllerNet(world.net, world.clock, environment) },
    "127.0.0.1",
    port,
  );
}

test("proxies, archives and the controller talk encrypted; nothing else gets in where plain is refused", async () => {
  await using group = new Group(path("group"), 1);
  const a0 = await group.archive("a0", { ...secure(), ...peers() });
  const a1 = await group.archive("a1", { ...secure({ refusesPlain: true }), ...peers() });
  const p0 = await group.proxy("p0", { ...secure(), ...peers() });
  const [secret1, secret0] = [encrypted(group, a1), encrypted(group, a0)];
  expect(await secret0.get("host-type")).toBe("archive");
  await expect(a1.controller.get("host-type")).rejects.toThrow("plain connections are refused here");
  await secret1.command("init-vol", [VOLUME], "ok");
  const storage = await group.copied(a0);
  await group.point(a0, storage);
  await replicate(a0, a1.port, 1);
  expect(await secret1.get("meta-snap", VOLUME)).toBe("|1|");
  await p0.controller.changeForwarding("add", VOLUME, "a0", forwardingTo(a0.port));
  await p0.controller.changeForwarding("add", VOLUME, "a1", forwardingTo(a1.port));
  await p0.controller.command("start", [VOLUME], "ok");
  storage.write(5);
  await storage.ship(at(p0.port), storage.snapshot());
  await hasPoint(a0, 2n);
  while ((await secret1.get("meta-snap", VOLUME)) !== "|2|") await Bun.sleep(5);
  await secret1.command("restore", [VOLUME, "2"], "accept");
  await settled({ ...a1, controller: secret1 }, "Restore");
  expect(
    Buffer.from(await Bun.file(group.pathOf("a1", `wr_${VOLUME}_2`)).arrayBuffer()).equals(storage.image),
  ).toBe(true);
  const environment = { NODE_X_WALB_CA: path("ours.ca"), NODE_X_WALB_TOKEN_FILE: path("token") };
  const words = ["walb", "get", "-a", "127.0.0.1", "-p", String(a1.port), "state", VOLUME];
  expect(await cli(words, { environment })).toMatchObject({ code: 0, stdout: "Archived\n" });
});

test("a storage ships encrypted; where nobody offers encryption it ships nothing", async () => {
  await using group = await StorageGroup.start({
    serverConfig: { ...secure(), ...peers() },
    storageConfig: peers(),
  });
  await group.initStorage();
  await group.backup("full-bkp");
  await group.compareSnapshot();
  await using plain = await StorageGroup.start({ storageConfig: peers() });
  await plain.initStorage();
  const copy = plain.storage.controller.command("full-bkp", [VOLUME], "accept");
  await expect(copy).rejects.toThrow("offers no encrypted connections");
}, 60_000);

test("another token, another authority, and a server without encryption are refused", async () => {
  await using group = new Group(path("refusals"), 50);
  const a0 = await group.archive("a0", secure());
  const plain = await group.archive("a1");
  await expect(
    encrypted(group, a0, { NODE_X_WALB_TOKEN_FILE: path("other-token") }).get("host-type"),
  ).rejects.toThrow("the connection ended");
  await expect(
    encrypted(group, a0, { NODE_X_WALB_CA: path("foreign.ca") }).get("host-type"),
  ).rejects.toThrow();
  await expect(encrypted(group, plain).get("host-type")).rejects.toThrow("offers no encrypted connections");
  const world = group.world();
  const ca = await Bun.file(path("ours.ca")).text();
  const net = securedNet(world.net, world.clock, { mode: "preferred", ca });
  expect(await controllerOf({ ...world, net }, "127.0.0.1", plain.port).get("host-type")).toBe("archive");
  await expect(group.archive("a2", { securePort: 0 })).rejects.toThrow(
    "securePort and secure belong together",
  );
});

test("the control: without the authority everything goes over the plain port, with it only the question for the other", async () => {
  await using group = new Group(path("control"), 80);
  const a0 = await group.archive("a0", secure());
  const seen: string[] = [];
  const world = group.world();
  const spying = {
    ...world.net,
    connect: (options: Parameters<typeof world.net.connect>[0]) => {
      seen.push(`${options.port === a0.port ? "plain" : "other"}${options.tls === undefined ? "" : " tls"}`);
      return world.net.connect(options);
    },
  } as typeof world.net;
  await controllerOf({ ...world, net: spying }, "127.0.0.1", a0.port).get("state", VOLUME);
  expect(seen.splice(0)).toEqual(["plain"]);
  const environment = { NODE_X_WALB_CA: path("ours.ca"), NODE_X_WALB_TOKEN_FILE: path("token") };
  const net = controllerNet(spying, world.clock, environment);
  await controllerOf({ ...world, net }, "127.0.0.1", a0.port).get("state", VOLUME);
  expect(seen).toEqual(["plain", "other tls"]);
});

test("a replication does not send faster than it may", async () => {
  await using group = new Group(path("limits"), 100);
  const a0 = await group.archive("a0", { replicateBytesPerSecond: 2 << 20 });
  const a1 = await group.archive("a1");
  const storage = await group.copied(a0);
  await group.point(a0, storage);
  await a1.controller.command("init-vol", [VOLUME], "ok");
  using link = new Repeater(a1.port);
  const startMs = performance.now();
  await replicate(a0, link.port, 1, "0", "0", "none");
  const seconds = (performance.now() - startMs) / 1000;
  expect(link.passed).toBeGreaterThan(300_000);
  // One part may go at once.
  expect(link.passed / (2 << 20)).toBeLessThan(seconds + 0.2);
});

test("a proxy does not send faster than it may", async () => {
  const rate = 1 << 20;
  await using group = new Group(path("proxy-limits"), 120);
  const a0 = await group.archive("a0");
  const p0 = await group.proxy("p0", { sendBytesPerSecond: rate });
  using link = new Repeater(a0.port);
  const compression = { id: 0, level: 0, threads: 1 };
  await p0.controller.changeForwarding("add", VOLUME, "a0", { ...forwardingTo(link.port), compression });
  await p0.controller.command("start", [VOLUME], "ok");
  const storage = await group.copied(a0);
  storage.write(80);
  const startMs = performance.now();
  await storage.ship(at(p0.port), storage.snapshot());
  await hasPoint(a0, 1n);
  const seconds = (performance.now() - startMs) / 1000;
  expect(link.passed).toBeGreaterThan(rate / 2);
  // One part may go at once.
  expect(link.passed / rate).toBeLessThan(seconds + 0.2);
});
