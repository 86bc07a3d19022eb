/**
 * A role's schema as a flat list of keys, in the order in which they are declared.
 *
 * Everything that shows or sets keys (environment, `--set`, samples, `explain`, the reference page) reads
 * this list, so none of them can know a key that the others do not.
 */
import { z } from "zod";
import type { FileKind } from "./schema.ts";
import { wantedOf } from "./wanted.ts";

export interface ConfigKey {
  path: readonly string[];
  /** `limits.connections`. */
  name: string;
  schema: z.ZodType;
  /** True for a group such as `limits`: it has no value of its own. */
  isGroup: boolean;
  description: string;
  /** `an integer from 0 to 65535`. */
  wanted: string;
  /** Undefined when there is none. */
  defaultValue: unknown;
  /** What happens without a value, for keys without default. */
  absent: string | undefined;
  example: unknown;
  isReloadable: boolean;
  fileKind: FileKind | undefined;
  isProgram: boolean;
  privilege: "lvm" | undefined;
  /** Roles whose address it is. */
  peerOf: readonly string[] | undefined;
  /** A key beside which it is not used. */
  unusedBeside: string | undefined;
}

/** The schema without the wrappers that give it a default or make it optional. */
export function unwrap(schema: z.ZodType): z.ZodType {
  let inner = schema;
  while (
    inner instanceof z.ZodDefault ||
    inner instanceof z.ZodPrefault ||
    inner instanceof z.ZodOptional ||
    inner instanceof z.ZodNullable
  ) {
    inner = inner.unwrap() as z.ZodType;
  }
  return inner;
}

/** All keys, groups before their members. */
export function configKeys(schema: z.ZodObject): ConfigKey[] {
  return [...walk(schema, [])];
}

function* walk(object: z.ZodObject, parent: readonly string[]): Generator<ConfigKey> {
  for (const [name, schema] of Object.entries(object.shape) as [string, z.ZodType][]) {
    const path = [...parent, name];
    const inner = unwrap(schema);
    yield keyOf(path, schema, inner);
    if (inner instanceof z.ZodObject) yield* walk(inner, path);
  }
}

function keyOf(path: readonly string[], schema: z.ZodType, inner: z.ZodType): ConfigKey {
  const notes = schema.meta() ?? {};
  const isGroup = inner instanceof z.ZodObject;
  return {
    path,
    name: path.join("."),
    schema,
    isGroup,
    description: notes.description ?? "",
    wanted: wantedOf(schema),
    defaultValue: isGroup || !schema.safeParse(undefined).success ? undefined : schema.parse(undefined),
    absent: notes.absent,
    example: notes.example,
    isReloadable: notes.isReloadable ?? false,
    fileKind: notes.fileKind,
    isProgram: notes.isProgram ?? false,
    peerOf: notes.peerOf,
    privilege: notes.privilege,
    unusedBeside: notes.unusedBeside,
  };
}

/** The schema at a path of keys and list positions; undefined where the schema knows no such key. */
export function schemaAt(schema: z.ZodType, path: readonly (string | number)[]): z.ZodType | undefined {
  let current: z.ZodType | undefined = schema;
  for (const part of path) {
    const inner: z.ZodType = unwrap(current);
    if (inner instanceof z.ZodObject)
      current = Object.hasOwn(inner.shape, part) ? (inner.shape[part] as z.ZodType) : undefined;
    else if (inner instanceof z.ZodArray) current = inner.element as z.ZodType;
    else if (inner instanceof z.ZodRecord) current = inner.valueType as z.ZodType;
    else current = undefined;
    if (current === undefined) return undefined;
  }
  return current;
}

/** Keys that a running instance can change, for `RoleDefinition.reloadable`. */
export function reloadableKeys(schema: z.ZodObject): string[] {
  return configKeys(schema)
    .filter((key) => key.isReloadable)
    .map((key) => key.name);
}

/** True for keys that name a listening port: `port`, `respPort`, `adminPort`. */
export function isPortKey(name: string): boolean {
  return /(^p|[a-z]P)ort$/.test(name);
}
