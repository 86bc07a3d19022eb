/** What an instance learns of its cluster from the cluster's files. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { prefixOfFile, readMembers } from "../../../src/cluster/topology/members.ts";
import { roleNames, schemaCatalog } from "../../../src/roles.ts";

const top = mkdtempSync(join(tmpdir(), "node-x-members-"));
afterAll(() => rmSync(top, { recursive: true, force: true }));

function files(name: string, of: Record<string, unknown>): string {
  const directory = join(top, name);
  mkdirSync(directory);
  for (const [file, content] of Object.entries(of))
    writeFileSync(join(directory, file), typeof content === "string" ? content : JSON.stringify(content));
  return directory;
}

const read = (directory: string, instance: string, prefix?: string) =>
  readMembers(
    {
      file: join(directory, `${instance}.json`),
      instance,
      environment: {},
      workingDirectory: directory,
      catalog: schemaCatalog,
    },
    prefix,
  );

describe("the members of a cluster", () => {
  test("are those of the asking instance's own prefix, with where they answer", async () => {
    const directory = files("own", {
      "p.dht0.json": { dataDir: "data/dht0", respPort: 7001 },
      "p.hub0.json": {},
      "q.dht0.json": {},
    });
    const { prefix, members, problems } = await read(directory, "p.hub0");
    expect([prefix, problems]).toEqual(["p", []]);
    expect(members.map(({ name, isHere }) => [name, isHere])).toEqual([
      ["p.dht0", true],
      ["p.hub0", true],
    ]);
    expect(members[0]).toMatchObject({
      role: "dht",
      dataDir: join(directory, "data/dht0"),
      address: "127.0.0.1",
      ports: { port: 10000, respPort: 7001 },
    });
  });

  test("are told which of them are on the asking instance's host", async () => {
    const tls = { cert: "c.pem", key: "k.pem" };
    const directory = files("hosts", {
      "p.dht0.json": { host: "a.example" },
      "p.dht1.json": {
        host: "b.example",
        adminPort: 9001,
        adminHost: "0.0.0.0",
        adminTokenFile: "token",
        tls,
        hashRange: { min: "0000000000000000", max: "7fffffffffffffff" },
      },
      "p.hub0.json": { host: "a.example", passwordFile: "password", tls },
    });
    const { members } = await read(directory, "p.hub0");
    expect(members.map(({ name, isHere, host }) => [name, isHere, host]).sort()).toEqual([
      ["p.dht0", true, "a.example"],
      ["p.dht1", false, "b.example"],
      ["p.hub0", true, "a.example"],
    ]);
    expect(members.find(({ name }) => name === "p.dht1")?.admin).toEqual({ host: "b.example", port: 9001 });
  });

  test("share a group's name when one file lists them", async () => {
    const directory = files("groups", {
      "p.tss.config": "host 127.0.0.1:7000\nhost 127.0.0.1:7001\nhost 127.0.0.1:7002\n",
      "p.hub0.json": {},
    });
    const { members } = await read(directory, "p.hub0");
    expect(members.filter(({ group }) => group === "tss").map(({ name }) => name)).toEqual([
      "p.tss.0",
      "p.tss.1",
      "p.tss.2",
    ]);
  });

  test("are seen in spite of mistakes in other files, which are told", async () => {
    const directory = files("bad", {
      "p.dht0.json": {},
      "p.dht1.json": '{ "prt": 1 }',
      "p.hub0.json": {},
    });
    const { members, problems } = await read(directory, "p.hub0");
    expect(members.map(({ name }) => name)).toContain("p.dht0");
    expect(problems.join()).toContain("p.dht1.json:1:3");
  });

  test("are those of another prefix when one is named, and nobody's without any", async () => {
    const directory = files("other", { "p.hub0.json": {}, "q.dht0.json": {}, "hub.json": {} });
    expect((await read(directory, "p.hub0", "q")).members.map(({ name }) => name)).toEqual(["q.dht0"]);
    expect(await read(directory, "hub")).toEqual({ prefix: undefined, members: [], problems: [] });
    expect(prefixOfFile(join(directory, "p.hub0.json"), roleNames)).toBe(join(directory, "p"));
  });
});
