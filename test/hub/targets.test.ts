/** Whom the hub asks, and how: sockets here, TLS with the token elsewhere, and never a token in the clear. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ClusterMember } from "../../src/core/role.ts";
import { targetsOf } from "../../src/hub/targets.ts";
import { startEcho, until } from "../core/kernel/harness.ts";
import { TestHub } from "./harness.ts";

const secrets = mkdtempSync(join(tmpdir(), "node-x-secrets-"));
afterAll(() => rmSync(secrets, { recursive: true, force: true }));
const scrapeTokenFile = TestHub.secret(secrets, "token", "secret");

const member = (over: Partial<ClusterMember> = {}): ClusterMember => ({
  name: "p.dht0",
  role: "dht",
  host: "a",
  isHere: true,
  dataDir: "/srv/dht0",
  address: "10.0.0.1",
  ports: {},
  ...over,
});
const admin = { host: "10.0.0.1", port: 9001 };

const endpointOf = (keys: Partial<Parameters<typeof targetsOf>[0]>, members: ClusterMember[] = []) =>
  targetsOf({ instances: [], ...keys }, members, undefined)[0]?.endpoint;

test("an instance of this host is asked over its socket, whatever else it has", () => {
  expect(endpointOf({}, [member({ admin })])).toEqual({ socket: "/srv/dht0/admin.sock" });
  expect(endpointOf({ instances: ["/srv/x"] })).toEqual({ socket: "/srv/x/admin.sock" });
});

test("one of another host is asked over TLS with the token, or shown with what is missing", () => {
  const elsewhere = member({ isHere: false, admin });
  expect(endpointOf({ scrapeTokenFile }, [elsewhere])).toEqual({
    url: "https://10.0.0.1:9001",
    token: "secret",
    tls: {},
  });
  expect(
    endpointOf({ scrapeTokenFile }, [member({ isHere: false, admin: { host: "::2", port: 1 } })]),
  ).toMatchObject({
    url: "https://[::2]:1",
  });
  expect(endpointOf({}, [elsewhere])).toEqual({
    isUnreachableBecause: expect.stringContaining("scrapeTokenFile"),
  });
  expect(endpointOf({ scrapeTokenFile }, [member({ isHere: false })])).toEqual({
    isUnreachableBecause: expect.stringContaining("adminPort"),
  });
});

test("a token never goes to a plain address of another host", () => {
  const tokenTo = (address: string) => {
    const endpoint = endpointOf({ scrapeTokenFile, instances: [address] });
    return endpoint !== undefined && "token" in endpoint ? endpoint.token : undefined;
  };
  expect(tokenTo("http://10.0.0.1:9001")).toBeUndefined();
  expect(tokenTo("http://localhost.evil.example:9001")).toBeUndefined();
  expect(tokenTo("https://10.0.0.1:9001")).toBe("secret");
  expect(tokenTo("http://127.0.0.1:9001")).toBe("secret");
});

test("instances that appear in the cluster's files appear on the page, and those that go, go", async () => {
  const echo = await startEcho();
  let members = [member({ name: "p.echo0", role: "echo", dataDir: echo.directory.dataDir })];
  await using hub = await TestHub.start({
    clusterMembers: async () => ({ prefix: "p", members, problems: ["p.dht9.json:1:1: wanted something"] }),
  });
  const shown = async () =>
    ((await (await hub.fetch("/api/instances")).json()) as { name: string; condition: string }[]).map(
      ({ name, condition }) => `${name} ${condition}`,
    );
  expect(await shown()).toEqual(["echo ready"]);
  members = [...members, member({ name: "p.echo1", role: "echo", dataDir: "/nonexistent" })];
  await hub.instance.reload(await hub.load({ scrapePeriodMs: 200 }));
  await until("the other instance", async () => ((await shown()).length === 2 ? true : undefined));
  members = members.slice(1);
  await hub.instance.reload(await hub.load({ scrapePeriodMs: 100 }));
  await until("the first one to go", async () =>
    (await shown()).join() === "p.echo1 unreachable" ? true : undefined,
  );
  await echo[Symbol.asyncDispose]();
});
