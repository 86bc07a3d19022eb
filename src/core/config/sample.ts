/**
 * A commented configuration file: every key of a role with its description and default.
 *
 * Keys are commented out with `//`, so the file is valid as it is and changes nothing; taking the slashes
 * away sets a key. Members of a group keep working because trailing commas are allowed.
 */
import type { z } from "zod";
import { configKeys, type ConfigKey } from "./keys.ts";
import { commonKeyNames } from "./schema.ts";

const COLUMNS = 110;

/** Values to write without comment slashes, by key name; groups are opened as needed. */
export type SampleValues = Record<string, unknown>;

/** The text of a sample file for one role. */
export function sampleText(
  role: string,
  schema: z.ZodObject,
  schemaPath: string,
  values: SampleValues = {},
): string {
  const keys = configKeys(schema);
  const lines = [
    "{",
    `  "$schema": ${JSON.stringify(schemaPath)},`,
    "",
    `  // Configuration of a node-x ${role}. JSON with comments; the values shown are the defaults.`,
    `  // Check it with \`node-x check FILE\`; \`node-x config explain ${role}.KEY\` says more about a key.`,
    "",
  ];
  for (const key of inReadingOrder(keys)) lines.push(...keyLines(key, keys, role, values), "");
  lines.pop();
  lines.push("}");
  return `${lines.join("\n")}\n`;
}

/** Who and where first, then what is special to the role, then what every role has. */
function inReadingOrder(keys: readonly ConfigKey[]): ConfigKey[] {
  const top = keys.filter((key) => key.path.length === 1);
  const isOwn = (key: ConfigKey) => !commonKeyNames.includes(key.name);
  const isIdentity = (key: ConfigKey) => ["role", "instance", "dataDir", "host"].includes(key.name);
  return [
    ...top.filter(isIdentity),
    ...top.filter(isOwn),
    ...top.filter((key) => !isOwn(key) && !isIdentity(key)),
  ];
}

function keyLines(key: ConfigKey, keys: ConfigKey[], role: string, values: SampleValues): string[] {
  const indent = "  ".repeat(key.path.length);
  const name = JSON.stringify(key.path.at(-1));
  const lines = commentLines(commentOf(key), indent);
  if (!key.isGroup) {
    const isSet = Object.hasOwn(values, key.name);
    const value = isSet ? values[key.name] : sampleValue(key, role);
    return [...lines, `${indent}${isSet ? "" : "// "}${name}: ${JSON.stringify(value)},`];
  }
  const members = keys.filter(
    (other) => other.path.length === key.path.length + 1 && other.name.startsWith(`${key.name}.`),
  );
  const isSet = Object.keys(values).some((set) => set.startsWith(`${key.name}.`));
  // A group without default (tls) is off as a whole: its braces are comments too.
  const slashes = isSet || key.absent === undefined ? "" : "// ";
  const inner = members.flatMap((member) => keyLines(member, keys, role, values));
  return [...lines, `${indent}${slashes}${name}: {`, ...inner, `${indent}${slashes}},`];
}

function sampleValue(key: ConfigKey, role: string): unknown {
  if (key.name === "role") return role;
  if (key.name === "instance" || key.name === "dataDir") return role;
  // null is a default like any other.
  return key.defaultValue !== undefined ? key.defaultValue : (key.example ?? "");
}

function commentOf(key: ConfigKey): string {
  const parts = [key.description];
  if (!key.isGroup && !isObvious(key.wanted)) parts.push(`${capital(key.wanted)}.`);
  if (key.absent !== undefined) parts.push(`Without it: ${key.absent}.`);
  if (key.isReloadable) parts.push("Reloadable.");
  return parts.join(" ");
}

/** What the sample value shows anyway. */
function isObvious(wanted: string): boolean {
  return /string$|^the path of a file$/.test(wanted);
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function commentLines(text: string, indent: string): string[] {
  return Bun.wrapAnsi(text, COLUMNS - indent.length - 3)
    .split("\n")
    .map((line) => `${indent}// ${line}`);
}
