/**
 * A draft of values → a typed configuration, or every problem with its place.
 *
 * The schema library decides what is valid; this file says it in operators' words: where (line, variable or
 * flag), which key, what was wanted and found, and which name was probably meant.
 */
import { z } from "zod";
import { configKeys, schemaAt, unwrap } from "./keys.ts";
import { nearest } from "./nearest.ts";
import type { KeyPath, Origin } from "./origin.ts";
import { nearestKey, type Draft } from "./overrides.ts";
import type { ParsedText } from "./parse.ts";
import { excerpt, type Problem } from "./problem.ts";
import { wantedOf } from "./wanted.ts";

/** Names are only suggested for this many problems: finding them is quadratic work. */
const SUGGESTIONS_MAX = 100;

/** Validates the draft; returns the configuration, or undefined after adding to `draft.problems`. */
export function validate<Schema extends z.ZodObject>(
  schema: Schema,
  draft: Draft,
  parsed: ParsedText,
): z.output<Schema> | undefined {
  const result = schema.safeParse(draft.value);
  if (result.success) return result.data;
  const problems = result.error.issues.flatMap((issue) => problemsOf(issue, schema, draft, parsed));
  // The same key can fail several checks of one type; its place and wanted value are the same then.
  const seen = new Set<string>();
  for (const problem of problems) {
    const identity = JSON.stringify([problem.path, problem.wanted]);
    if (!seen.has(identity)) draft.problems.push(problem);
    seen.add(identity);
  }
  return undefined;
}

function problemsOf(
  issue: z.core.$ZodIssue,
  schema: z.ZodObject,
  draft: Draft,
  parsed: ParsedText,
): Problem[] {
  const path = issue.path.map((part) => (typeof part === "symbol" ? String(part) : part));
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((name, index) => unknownKey([...path, name], index, schema, draft, parsed));
  if (issue.code === "invalid_key") return [unusableKey(path, schema, draft, parsed)];
  const at = schemaAt(schema, path) ?? schema;
  const origin = draft.origins.of(path);
  const value = valueAt(draft.value, path);
  const suggestion = enumSuggestion(at, value);
  return [
    {
      origin:
        origin.kind === "file" ? parsed.originAt(parsed.valueOffset(path)) : place(origin, path, parsed),
      path,
      wanted: issue.code === "custom" ? issue.message : wantedOf(at),
      got: gotText(origin, value, path, parsed),
      ...(suggestion !== undefined && { nearest: suggestion }),
    },
  ];
}

/** A missing key has no place of its own: point at the object that should hold it. */
function place(origin: Origin, path: KeyPath, parsed: ParsedText): Origin {
  return origin.kind === "default" ? parsed.originAt(parsed.valueOffset(path.slice(0, -1))) : origin;
}

function unknownKey(
  path: KeyPath,
  index: number,
  schema: z.ZodObject,
  draft: Draft,
  parsed: ParsedText,
): Problem {
  const name = String(path.at(-1));
  const origin = draft.origins.of(path);
  const suggestion = index < SUGGESTIONS_MAX ? suggestKey(path, name, schema) : undefined;
  return {
    origin: origin.kind === "file" ? parsed.originAt(parsed.keyOffset(path)) : origin,
    path,
    wanted: "a known key",
    got: JSON.stringify(excerpt(name)),
    ...(suggestion !== undefined && { nearest: suggestion }),
  };
}

/** A name that an object with free names does not take. */
function unusableKey(path: KeyPath, schema: z.ZodObject, draft: Draft, parsed: ParsedText): Problem {
  const origin = draft.origins.of(path);
  const around = schemaAt(schema, path.slice(0, -1));
  const object = around === undefined ? undefined : unwrap(around);
  return {
    origin: origin.kind === "file" ? parsed.originAt(parsed.keyOffset(path)) : origin,
    path: path.slice(0, -1),
    wanted:
      object instanceof z.ZodRecord
        ? `each key to be ${wantedOf(object.keyType as z.ZodType)}`
        : "another key",
    got: JSON.stringify(excerpt(String(path.at(-1)))),
  };
}

/** First among the neighbours in the same object, then anywhere in the schema (then as a whole path). */
function suggestKey(path: KeyPath, name: string, schema: z.ZodObject): string | undefined {
  const parent = schemaAt(schema, path.slice(0, -1));
  const object = parent === undefined ? undefined : unwrap(parent);
  const neighbours = object instanceof z.ZodObject ? Object.keys(object.shape) : [];
  return (
    nearest(name, neighbours) ??
    nearestKey(
      name,
      configKeys(schema).map((key) => key.name),
    )
  );
}

function enumSuggestion(schema: z.ZodType, value: unknown): string | undefined {
  const inner = unwrap(schema);
  if (!(inner instanceof z.ZodEnum) || typeof value !== "string") return undefined;
  return nearest(value, inner.options.map(String));
}

/** The value as the operator wrote it. */
function gotText(origin: Origin, value: unknown, path: KeyPath, parsed: ParsedText): string {
  if (value === undefined) return "nothing";
  const written = origin.kind === "file" ? parsed.source(path) : undefined;
  return written ?? excerpt(JSON.stringify(value) ?? String(value));
}

export function valueAt(root: unknown, path: KeyPath): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string | number, unknown>)[part];
  }
  return value;
}
