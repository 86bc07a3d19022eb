/** Help, the pages made from the verbs, and that everything is documented. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { generatedFiles } from "../../src/cli/generate.ts";
import { leafVerbs } from "../../src/cli/commands-page.ts";
import { rootVerb } from "../../src/cli/main.ts";
import { configKeys } from "../../src/core/config/keys.ts";
import { jsonSchemaOf } from "../../src/core/config/json-schema.ts";
import { errorKinds } from "../../src/core/errors.ts";
import { roles } from "../../src/roles.ts";
import { cli } from "./helpers.ts";

const root = join(import.meta.dir, "../..");
const verbs = await Array.fromAsync(leafVerbs(rootVerb));

test.each(verbs.map(({ path, verb }) => [path.join(" "), verb] as const))(
  "%s --help shows usage, every option and an example",
  async (path, verb) => {
    const words = path.split(" ");
    const { code, stdout, stderr } = await cli([...words, "--help"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain(`\n  node-x ${path}`);
    for (const name of Object.keys(verb.args)) expect(stdout.toLowerCase()).toContain(name.toLowerCase());
    expect(verb.examples.length).toBeGreaterThan(0);
    for (const example of verb.examples) expect(stdout).toContain(example.command);
    expect((await cli(["help", ...words])).stdout).toBe(stdout);
    expect((await cli([...words, "-h"])).stdout).toBe(stdout);
    for (const line of stdout.split("\n")) expect(line).toBe(line.trimEnd());
  },
);

test.each(verbs.map(({ path, verb }) => [path.join(" "), verb] as const))(
  "every argument of %s is described, and its examples start with it",
  (path, verb) => {
    for (const definition of Object.values(verb.args)) expect(definition.description ?? "").not.toBe("");
    const mentions = verb.examples.filter((example) => example.command.includes(`node-x ${path}`));
    expect(mentions).toEqual(verb.examples);
  },
);

test("every verb about a cluster can print JSON", async () => {
  const names = [
    "deploy",
    "start",
    "stop",
    "kill",
    "restart",
    "upgrade",
    "rollback",
    "move",
    "status",
    "top",
  ];
  for (const name of [...names, "logs", "exec", "lock", "unlock", "audit", "destroy", "check"])
    expect({ name, help: (await cli([name, "--help"])).stdout }).toMatchObject({
      help: expect.stringContaining("--json"),
    });
});

test("a verb with --json prints JSON", async () => {
  for (const words of [
    ["roles"],
    ["version"],
    ["config", "explain", "dht"],
    ["config", "show", "configs/dht.json"],
    ["check", "configs/local"],
  ]) {
    const { stdout } = await cli([...words, "--json"], { cwd: root });
    expect(() => JSON.parse(stdout)).not.toThrow();
  }
});

test("no words at all show the help on standard error and are a usage error", async () => {
  const { code, stdout, stderr } = await cli([]);
  expect({ code, stdout }).toEqual({ code: 64, stdout: "" });
  expect(stderr).toContain("Usage");
});

test("--help as the value of an option or after -- is not a question", async () => {
  expect((await cli(["check", "--set=--help", "nowhere.json"])).code).toBe(78);
  expect((await cli(["roles", "--", "--help"])).code).toBe(64);
});

test("generated files are those that are checked in (else run `bun src/cli/generate.ts`)", async () => {
  for (const [path, text] of await generatedFiles())
    expect({ path, text: readFileSync(join(root, path), "utf8") }).toEqual({ path, text });
});

test("every configuration key is described, on the reference page and in the JSON Schema", async () => {
  const page = readFileSync(join(root, "docs/config.md"), "utf8");
  for (const role of roles) {
    const { config } = await role.about();
    for (const key of configKeys(config)) {
      expect(page).toContain(`\`${key.name}\``);
      expect(key.description).toMatch(/^[A-Z].*\.$/s);
      let schema = jsonSchemaOf(role.name, config) as { properties?: Record<string, unknown> } | undefined;
      for (const part of key.path) schema = schema?.properties?.[part] as typeof schema;
      expect(schema).toBeDefined();
    }
  }
});

test("every error code is documented with its exit code", () => {
  const page = readFileSync(join(root, "docs/errors.md"), "utf8");
  for (const [code, kind] of Object.entries(errorKinds))
    expect(page).toContain(`| \`${code}\` | ${kind.exit} | `);
});
