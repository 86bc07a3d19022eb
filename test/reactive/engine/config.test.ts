/** What `check` says of a frontend whose store is in etcd: of one file, and of a prefix. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { tryReadCluster } from "../../../src/cluster/topology/read.ts";
import { problemText } from "../../../src/core/config/problem.ts";
import { schemaCatalog } from "../../../src/roles.ts";
import { ConfigDirectory } from "../../core/config/helpers.ts";

let directory: ConfigDirectory;
beforeAll(() => {
  directory = new ConfigDirectory();
});
afterAll(() => directory.remove());

const endpoints = ["https://10.0.0.1:2379", "https://10.0.0.2:2379"];
const problemsOf = (config: object) =>
  directory.problems(JSON.stringify(config), { file: "p.frontend0.json" });
const withEtcd = (etcd: object, beside: object = {}) =>
  problemsOf({ engine: { etcd: { endpoints, ...etcd } }, ...beside });

test("an etcd with endpoints is enough", async () => {
  expect(await withEtcd({})).toEqual([]);
});

test.each([
  ["a member twice", { endpoints: [endpoints[0], endpoints[0]] }, "endpoints: wanted each member once"],
  ["no member", { endpoints: [] }, "endpoints: wanted"],
  [
    "what is no address of a member",
    { endpoints: ["10.0.0.1:2379"] },
    "endpoints[0]: wanted http://HOST:PORT",
  ],
  ["a path behind a member", { endpoints: ["http://h:1/v3"] }, "endpoints[0]: wanted http://HOST:PORT"],
  ["a user without a password", { user: "u" }, "passwordFile: wanted user and passwordFile, or neither"],
  [
    "tls for members without it",
    { endpoints: ["http://h:1"], tls: {} },
    "endpoints: wanted https endpoints only",
  ],
  ["a certificate without its key", { tls: { cert: "c" } }, "tls.key: wanted cert and key, or neither"],
  ["a key with a mistake", { endpoint: "x" }, 'engine.etcd.endpoint: wanted a known key, got "endpoint"'],
])("%s is refused", async (_what, etcd, wanted) => {
  expect((await withEtcd(etcd)).join("\n")).toContain(wanted);
});

test("a password is sent in the clear on this host only", async () => {
  directory.write("password", "secret");
  const login = { user: "u", passwordFile: "password" };
  const over = (endpoint: string) => withEtcd({ ...login, endpoints: [endpoint] });
  expect(await over("http://127.0.0.1:2379")).toEqual([]);
  expect(await over("http://[::1]:2379")).toEqual([]);
  expect(await over("https://10.0.0.1:2379")).toEqual([]);
  expect((await over("http://10.0.0.1:2379")).join()).toContain(
    "wanted https endpoints where a password is sent",
  );
});

test("addresses of the built-in engine beside it are refused", async () => {
  for (const beside of [{ shards: [["10.0.0.1:12345"]] }, { timestampServers: ["10.0.0.1:12348"] }]) {
    const [name] = Object.keys(beside);
    expect(await withEtcd({}, beside)).toEqual([
      expect.stringContaining(`wanted no ${name} beside engine.etcd`),
    ]);
    expect(await problemsOf(beside)).toEqual([]);
  }
});

test("a prefix of such frontends alone is complete, one of others is not; the sample is one", async () => {
  const problems = async (workingDirectory: string, prefix: string) =>
    (
      await tryReadCluster({ prefix, workingDirectory, environment: {}, catalog: schemaCatalog })
    ).problems.map(problemText);
  directory.write("alone.frontend0.json", JSON.stringify({ engine: { etcd: { endpoints } } }));
  directory.write("lacking.frontend0.json", "{}");
  expect(await problems(directory.path, "alone")).toEqual([]);
  expect((await problems(directory.path, "lacking")).join("\n")).toContain("a frontend needs one");
  expect(await problems(join(import.meta.dir, "../../../configs"), "etcd")).toEqual([]);
});
