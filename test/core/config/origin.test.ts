/** Where values come from: precedence, origins, names, instances, several files. */
import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import { checkConfigs } from "../../../src/core/config/check.ts";
import { configKeys } from "../../../src/core/config/keys.ts";
import { loadConfig, shownValues, type LoadedConfig } from "../../../src/core/config/load.ts";
import { originText } from "../../../src/core/config/origin.ts";
import { environmentName } from "../../../src/core/config/overrides.ts";
import { problemText } from "../../../src/core/config/problem.ts";
import { roles, schemaCatalog } from "../../../src/roles.ts";
import { ConfigDirectory } from "./helpers.ts";

const directory = new ConfigDirectory();
afterAll(() => directory.remove());

function originsOf(loaded: LoadedConfig): Record<string, string> {
  return Object.fromEntries(shownValues(loaded).map((shown) => [shown.key, originText(shown.origin)]));
}

test("the environment overrules the file, --set overrules both, the last --set wins", async () => {
  const text = '{\n  "respPort": 1,\n  "limits": { "connections": 2, "idleTimeoutMs": 3 }\n}';
  const { config } = await directory.load(text, {
    environment: { NODE_X_DHT_LIMITS_CONNECTIONS: "20", NODE_X_DHT_LIMITS_IDLE_TIMEOUT_MS: "30" },
    sets: ["limits.idleTimeoutMs=299", "limits.idleTimeoutMs=300", "host=::1"],
  });
  expect(config?.config).toMatchObject({
    respPort: 1,
    host: "::1",
    limits: { connections: 20, idleTimeoutMs: 300 },
  });
  expect(originsOf(config as LoadedConfig)).toMatchObject({
    respPort: "dht.json:2:15",
    "limits.connections": "environment NODE_X_DHT_LIMITS_CONNECTIONS",
    "limits.idleTimeoutMs": "--set limits.idleTimeoutMs=300",
    "limits.outboxBytesMax": "default",
    host: "--set host=::1",
    instance: "file name dht.json",
  });
});

test("--set of a whole group takes JSON and replaces the file's", async () => {
  const { config } = await directory.load('{ "limits": { "connections": 2 } }', {
    sets: ['limits={"idleTimeoutMs":7}'],
  });
  expect(config?.config.limits).toMatchObject({ connections: 5000, idleTimeoutMs: 7 });
  expect(originsOf(config as LoadedConfig)["limits.idleTimeoutMs"]).toBe('--set limits={"idleTimeoutMs":7}');
});

test("__proto__ inside a JSON value of --set or a variable sets nothing anywhere", async () => {
  const evil = '{"__proto__":{"connections":1}}';
  const { config } = await directory.load("{}", {
    sets: [`limits=${evil}`],
    environment: { NODE_X_DHT_COMPACTION_LOG_BYTES_MIN: "65536" },
  });
  expect((config?.config.limits as { connections: number }).connections).toBe(5000);
  expect(({} as { connections?: number }).connections).toBeUndefined();
});

test("values of another role's variables are not looked at", async () => {
  const { config } = await directory.load("{}", { environment: { NODE_X_HUB_PORT: "nonsense" } });
  expect(config?.config.respPort).toBe(10200);
});

test("comments, trailing commas, a byte order mark and $schema are accepted", async () => {
  const text = '\ufeff// first\n{ /* inline */ "$schema": "./schema/dht.json", "respPort": 7, }';
  const { config } = await directory.load(text);
  expect(config?.config.respPort).toBe(7);
  expect(Object.hasOwn(config?.config ?? {}, "$schema")).toBe(false);
});

const names: [file: string, role: string, instance: string][] = [
  ["local.dht0.json", "dht", "local.dht0"],
  ["a-b_c.hub12.json", "hub", "a-b_c.hub12"],
  ["eu.dht.json", "dht", "eu.dht"],
  ["hub.json", "hub", "hub"],
];

test.each(names)(
  "%s is role %s, instance %s, with its data in <working directory>/<instance>",
  async (file, role, instance) => {
    const { config } = await directory.load("{}", { file });
    expect(config).toMatchObject({ role, instance, dataDir: join(directory.path, instance) });
  },
);

test.each(["dht0.json", "x.dht0.jsn", "a.b.dht0.json", "x.dhtx.json"])("%s names no role", async (file) => {
  expect((await directory.problems("{}", { file }))[0]).toContain("wanted a role");
});

test("the key role and the key instance overrule the file's name", async () => {
  const { config } = await directory.load('{ "role": "hub", "instance": "page" }', { file: "x.dht0.json" });
  expect(config).toMatchObject({ role: "hub", instance: "page", dataDir: join(directory.path, "page") });
});

test("a relative dataDir is relative to the working directory, wherever the file is", async () => {
  const { config } = await directory.load('{ "dataDir": "data/x" }', { file: "deep/dir/dht.json" });
  expect(config?.dataDir).toBe(join(directory.path, "data/x"));
});

test("a missing file is one error with a way out", async () => {
  const sources = { file: "nowhere.json", environment: {}, sets: [], workingDirectory: directory.path };
  expect(loadConfig(sources, schemaCatalog)).rejects.toMatchObject({
    code: "NX_CONFIG_UNREADABLE",
    message: `${join(directory.path, "nowhere.json")}: there is no such file`,
  });
});

test("instances of one host must not share a port, a directory or a name", async () => {
  directory.write("one.dht0.json", '{\n  "respPort": 7000\n}');
  directory.write("one.dht1.json", '{\n  "host": "0.0.0.0", "port": 10001,\n  "respPort": 7000\n}');
  directory.write("one.hub0.json", '{\n  "instance": "one.dht0",\n  "host": "127.0.0.2",\n  "port": 7000\n}');
  const files = ["one.dht0.json", "one.dht1.json", "one.hub0.json"];
  const shared = { environment: {}, sets: [], workingDirectory: directory.path };
  const { problems } = await checkConfigs(files, shared, schemaCatalog);
  expect(problems.map(problemText)).toEqual([
    "one.dht1.json:3:15: respPort: wanted a port of its own, got 7000, which one.dht0.json:2:15 uses too",
    'one.hub0.json:2:15: instance: wanted a name of its own, got "one.dht0", which file name one.dht0.json uses too',
    `one.hub0.json:1:1: dataDir: wanted a directory of its own, got "${join(directory.path, "one.dht0")}", which one.dht0.json uses too`,
    "one.hub0.json:4:11: port: wanted a port of its own, got 7000, which one.dht1.json:3:15 uses too",
  ]);
});

test("two loopback addresses may both have a port", async () => {
  directory.write("two.dht0.json", '{ "host": "127.0.0.2" }');
  directory.write("two.dht1.json", '{ "host": "127.0.0.3" }');
  const shared = { environment: {}, sets: [], workingDirectory: directory.path };
  const { problems } = await checkConfigs(["two.dht0.json", "two.dht1.json"], shared, schemaCatalog);
  expect(problems).toEqual([]);
});

test.each(roles.map((role) => [role.name, role] as const))(
  "every key of %s has a variable of its own, and the variable sets it",
  async (name, role) => {
    const keys = configKeys((await role.about()).config).filter((key) => !key.isGroup && key.name !== "role");
    const variables = keys.map((key) => environmentName(name, key.path));
    expect(new Set(variables).size).toBe(keys.length);
    for (const [index, key] of keys.entries()) {
      const variable = variables[index] as string;
      // A value that no key accepts: the error must name this key, or (for a text key) the value must arrive there.
      const { config, problems } = await directory.load("{}", {
        file: `${name}.json`,
        environment: { [variable]: "\u0001" },
      });
      const isNamed = problems.some(
        (problem) =>
          problem.path.join(".") === key.name && originText(problem.origin) === `environment ${variable}`,
      );
      const hasArrived =
        config !== undefined && originText(config.origins.of(key.path)) === `environment ${variable}`;
      // A half-set group, of certificates or of an engine, is refused at its missing half.
      const isHalf = key.path.length > 1 && problems.some(({ path }) => path[0] === key.path[0]);
      expect(isNamed || hasArrived || isHalf).toBe(true);
    }
  },
);

test("the names of variables follow one rule", () => {
  expect(environmentName("dht", ["adminPort"])).toBe("NODE_X_DHT_ADMIN_PORT");
  expect(environmentName("dht", ["limits", "valueBytesMax"])).toBe("NODE_X_DHT_LIMITS_VALUE_BYTES_MAX");
});
