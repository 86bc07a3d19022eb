/**
 * The entries of an INI file → the value of one of our configurations, with the place of each key.
 *
 * Unknown keys and sections are warnings, because a file of another generation must still start its program; known keys
 * that mean nothing here are notes that say why. A required key that is missing is a problem. Invariant: each value set
 * has the place of the text it came from, so later checks point at the line in the INI file.
 */
import type { z } from "zod";
import { schemaAt } from "../keys.ts";
import { nearest } from "../nearest.ts";
import type { Origin } from "../origin.ts";
import type { JsonObject } from "../parse.ts";
import { excerpt, type Notice } from "../problem.ts";
import {
  isSetting,
  matches,
  targetsOf,
  type ConvertContext,
  type IniDialect,
  type SettingRule,
} from "./dialect.ts";
import type { IniEntry, IniText } from "./parse.ts";

/** Fills `ini.parsed` (value, places, problems); returns what is worth telling. */
export function mapIni(
  ini: IniText,
  dialect: IniDialect,
  schema: z.ZodObject,
  context: ConvertContext,
): Notice[] {
  const notices: Notice[] = [];
  const at = (entry: IniEntry): Origin => ini.parsed.originAt(entry.keyOffset);
  reportOthers(ini, dialect, notices);
  const owners = new Map<string, { entry: IniEntry; value: unknown }>();
  for (const rule of dialect.rules.filter(isSetting)) {
    if (rule.gathers === true) {
      gather(ini, rule, context);
      continue;
    }
    const entry = ini.get(rule.section, rule.key);
    if (entry === undefined) {
      if (rule.required !== undefined) reportMissing(ini, rule);
      continue;
    }
    const targets = targetsOf(rule).filter((name) => schemaAt(schema, name.split(".")) !== undefined);
    if (targets.length === 0) {
      const text = `${nameOf(entry)} has no counterpart here and is ignored`;
      notices.push({ level: "info", origin: at(entry), text });
      continue;
    }
    const converted = rule.convert(entry.value, context);
    if (converted === undefined) continue;
    if ("wanted" in converted) {
      const path = (targets[0] ?? "").split(".");
      ini.parsed.mistake(entry.valueOffset, path, converted.wanted, quoted(entry.value));
      continue;
    }
    for (const name of targets) {
      const earlier = owners.get(name);
      if (earlier !== undefined && earlier.value !== converted.value && rule.isWider !== true) {
        const text = `${nameOf(earlier.entry)} is overruled by ${nameOf(entry)}: here both are ${name}`;
        notices.push({ level: "info", origin: at(earlier.entry), text });
      }
      owners.set(name, { entry, value: converted.value });
      set(ini, name.split("."), converted.value, entry);
    }
  }
  return notices.sort((one, other) => lineOf(one) - lineOf(other));
}

/** All entries of a section as one list. */
function gather(ini: IniText, rule: SettingRule, context: ConvertContext): void {
  const path = (targetsOf(rule)[0] ?? "").split(".");
  const entries = ini.entries.filter(({ section, key }) => matches(rule, section, key));
  const items = entries.flatMap((entry) => {
    const converted = rule.convert(`${entry.key}=${entry.value}`, context);
    if (converted === undefined) return [];
    if ("value" in converted) return [converted.value];
    ini.parsed.mistake(entry.valueOffset, path, converted.wanted, quoted(entry.value));
    return [];
  });
  if (entries[0] !== undefined) set(ini, path, items, entries[0]);
}

/** Entries that set nothing: unknown, without meaning, or given twice. */
function reportOthers(ini: IniText, dialect: IniDialect, notices: Notice[]): void {
  const { rules, program } = dialect;
  const known = (section: string) => rules.filter((rule) => matches(rule, section, rule.key));
  for (const [section, offset] of ini.sections) {
    if (known(section).length > 0) continue;
    const suggestion = nearest(
      section,
      rules.map((rule) => rule.section),
    );
    const text = `section [${excerpt(section)}] is unknown to ${program} and ignored${didYouMean(suggestion)}`;
    notices.push({ level: "warn", origin: ini.parsed.originAt(offset), text });
  }
  for (const entry of ini.entries) {
    const candidates = known(entry.section);
    if (candidates.length === 0) continue;
    const rule = candidates.find((candidate) => matches(candidate, entry.section, entry.key));
    const origin = ini.parsed.originAt(entry.keyOffset);
    if (rule === undefined) {
      const suggestion = nearest(
        entry.key,
        candidates.map((candidate) => candidate.key),
      );
      const text = `${nameOf(entry)} is unknown to ${program} and ignored${didYouMean(suggestion)}`;
      notices.push({ level: "warn", origin, text });
    } else if (!isSetting(rule)) {
      notices.push({ level: "info", origin, text: `${nameOf(entry)} has no effect: ${rule.note}` });
    } else if (rule.gathers !== true && ini.get(entry.section, entry.key) !== entry) {
      notices.push({
        level: "warn",
        origin,
        text: `${nameOf(entry)} is given again below; the last one counts`,
      });
    }
  }
}

function reportMissing(ini: IniText, rule: SettingRule): void {
  const offset = ini.sections.get(rule.section) ?? 0;
  ini.parsed.mistake(
    offset,
    (targetsOf(rule)[0] ?? "").split("."),
    `[${rule.section}] ${rule.key}, ${rule.required}`,
    "nothing",
  );
}

function set(ini: IniText, path: readonly string[], value: unknown, entry: IniEntry): void {
  let object: JsonObject = ini.parsed.value;
  for (const part of path.slice(0, -1)) object = (object[part] ??= {}) as JsonObject;
  object[path.at(-1) ?? ""] = value;
  // A group has no place of its own: point at the first of its keys.
  for (let length = 1; length <= path.length; length++) {
    const isWhole = length === path.length;
    if (isWhole || ini.parsed.source(path.slice(0, length)) === undefined)
      ini.parsed.place(path.slice(0, length), entry);
  }
}

/** `[Server] port`. */
function nameOf({ section, key }: IniEntry): string {
  return `[${excerpt(section)}] ${excerpt(key)}`;
}

const quoted = (value: string) => JSON.stringify(excerpt(value));
const didYouMean = (suggestion: string | undefined) =>
  suggestion === undefined ? "" : ` (did you mean "${suggestion}"?)`;
const lineOf = ({ origin }: Notice) => (origin.kind === "file" ? origin.line : 0);
