/** `node-x config`: what a configuration comes to, what a key means, the schema for editors. */
import { NxError } from "../core/errors.ts";
import { roleEntry, roleNames } from "../roles.ts";
import { alignColumns, colorsFor, printJson, printTable, wrap } from "./print.ts";
import { usageError } from "./strict.ts";
import { defineVerb } from "./verb.ts";

const showVerb = defineVerb({
  name: "show",
  summary: "Show every key of a configuration with its value, and where the value comes from",
  args: {
    file: { type: "positional", required: true, description: "A configuration file" },
    origin: {
      type: "boolean",
      description: "Show where each value comes from: file:line:col, variable, flag or default",
    },
    set: { type: "string", valueHint: "KEY=VALUE", description: "Set a key, as for `run`; may be repeated" },
    json: { type: "boolean", description: "Print JSON" },
  },
  repeatable: ["set"],
  examples: [
    {
      command: "node-x config show --origin configs/dht.json",
      shows: "Show which file, variable or flag set each key",
    },
    {
      command: "node-x config show dht.json --set log.level=trace --json",
      shows: "Show what `run` would use, for programs",
    },
  ],
  async run(call) {
    const { args, stdout, environment, workingDirectory } = call;
    const { loadConfig, shownValues } = await import("../core/config/load.ts");
    const { originText } = await import("../core/config/origin.ts");
    const { schemaCatalog } = await import("../roles.ts");
    const loaded = await loadConfig(
      { file: args.file, environment, sets: call.all("set"), workingDirectory },
      schemaCatalog,
    );
    const shown = shownValues(loaded);
    if (args.json) {
      const { role, instance, dataDir, file } = loaded;
      printJson(stdout, {
        role,
        instance,
        dataDir,
        file,
        keys: shown.map((one) => ({ ...one, origin: originText(one.origin) })),
      });
      return 0;
    }
    const header = ["KEY", "VALUE", ...(args.origin ? ["ORIGIN"] : [])];
    const rows = shown.map((one) => [
      one.key,
      JSON.stringify(one.value),
      ...(args.origin ? [originText(one.origin)] : []),
    ]);
    printTable(stdout, header, rows, colorsFor(stdout, environment));
    return 0;
  },
});

const schemaVerb = defineVerb({
  name: "schema",
  summary: "Print the JSON Schema of a role's configuration, for editors",
  args: { role: { type: "positional", required: true, description: "A role (`node-x roles`)" } },
  examples: [
    {
      command: "node-x config schema dht > dht.schema.json",
      shows: 'Let an editor check files that name it in "$schema"',
    },
  ],
  async run({ args, stdout }) {
    const { jsonSchemaText } = await import("../core/config/json-schema.ts");
    stdout.write(jsonSchemaText(args.role, (await roleEntry(args.role).about()).config));
    return 0;
  },
});

const explainVerb = defineVerb({
  name: "explain",
  summary: "Say what a key is: meaning, accepted values, default, variable, whether a reload applies it",
  args: {
    key: { type: "positional", required: true, description: "ROLE.KEY, or ROLE to list its keys" },
    json: { type: "boolean", description: "Print JSON" },
  },
  examples: [
    { command: "node-x config explain dht.limits.connections", shows: "Explain one key" },
    { command: "node-x config explain dht", shows: "List the keys of a role" },
  ],
  async run({ args, stdout, environment }) {
    const { configKeys } = await import("../core/config/keys.ts");
    const { environmentName, nearestKey } = await import("../core/config/overrides.ts");
    const [role = "", ...rest] = args.key.split(".");
    await refuseKeyAlone(role, args.key);
    const { config } = await roleEntry(role).about();
    const keys = configKeys(config);
    const colors = colorsFor(stdout, environment);
    const facts = (key: (typeof keys)[number]) => ({
      key: key.name,
      meaning: key.description,
      ...(!key.isGroup && { wanted: key.wanted }),
      ...(key.defaultValue !== undefined && { default: key.defaultValue }),
      ...(key.absent !== undefined && { withoutIt: key.absent }),
      ...(!key.isGroup && { isReloadable: key.isReloadable }),
      ...(!key.isGroup && key.name !== "role" && { variable: environmentName(role, key.path) }),
    });
    if (rest.length === 0) {
      if (args.json) printJson(stdout, keys.map(facts));
      else
        printTable(
          stdout,
          ["KEY", "DEFAULT", "MEANING"],
          keys.map((key) => [key.name, defaultText(key.defaultValue), key.description]),
          colors,
        );
      return 0;
    }
    const name = rest.join(".");
    const found = keys.filter((key) => key.name === name || key.name.startsWith(`${name}.`));
    if (found.length === 0) {
      const suggestion = nearestKey(
        name,
        keys.map((key) => key.name),
      );
      throw usageError(
        `role ${role} has no key "${name}"${suggestion === undefined ? "" : ` (did you mean "${role}.${suggestion}"?)`}`,
        ["config", "explain"],
      );
    }
    if (args.json) {
      printJson(stdout, found.map(facts));
      return 0;
    }
    found.forEach((key, index) => {
      const { meaning, ...rows } = facts(key);
      const text = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
      stdout.write(`${index === 0 ? "" : "\n"}${colors.bold(key.name)}\n`);
      for (const line of wrap(meaning, Math.min(stdout.columns ?? 100, 100) - 2)) stdout.write(`  ${line}\n`);
      const details = Object.entries(rows).filter(([label]) => label !== "key");
      for (const line of alignColumns(
        details.map(([label, value]) => [detailLabels[label] ?? label, text(value)]),
      ))
        stdout.write(`  ${line}\n`);
    });
    return 0;
  },
});

/** Somebody who gives a key without its role is told which roles have it. */
async function refuseKeyAlone(role: string, key: string): Promise<void> {
  if (roleNames.includes(role)) return;
  const { configKeys } = await import("../core/config/keys.ts");
  const full: string[] = [];
  for (const name of roleNames) {
    const { config } = await roleEntry(name).about();
    if (configKeys(config).some((known) => known.name === key)) full.push(`${name}.${key}`);
  }
  if (full.length === 0) return;
  throw new NxError("NX_USAGE", `"${key}" is a key: say of which role`, {
    hint: `node-x config explain ${full.slice(0, KEYS_SHOWN).join(" | ")}${full.length > KEYS_SHOWN ? " | …" : ""}`,
  });
}

const KEYS_SHOWN = 4;

const detailLabels: Record<string, string> = {
  wanted: "accepts",
  default: "default",
  withoutIt: "without it",
  isReloadable: "reloadable",
  variable: "variable",
};

function defaultText(value: unknown): string {
  return value === undefined ? "" : JSON.stringify(value);
}

export const configVerb = defineVerb({
  name: "config",
  summary: "Show configurations with the origin of each value, explain keys, print schemas",
  examples: [
    { command: "node-x config show --origin configs/dht.json", shows: "Show where each value comes from" },
    { command: "node-x config explain dht.durability", shows: "Explain a key" },
  ],
  subVerbs: {
    show: async () => showVerb,
    explain: async () => explainVerb,
    schema: async () => schemaVerb,
  },
});
