/**
 * A configuration file, the environment and `--set` → one checked configuration with the origin of each
 * value.
 *
 * Precedence: file < environment < `--set`; what nobody sets has its default. Invariant: a `LoadedConfig`
 * exists only when every value passed its schema; otherwise the error lists all mistakes at once. Nothing is
 * bound, created or written here.
 *
 * Relative paths (dataDir, files of tls and secrets) are relative to the working directory, as in a shell:
 * the same configuration then serves several directories, and units set WorkingDirectory. Log files are
 * relative to dataDir.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { z } from "zod";
import { errnoOf, NxError } from "../errors.ts";
import { fileProblems } from "./files.ts";
import { isFrontendFile, readFrontend } from "./frontend-source.ts";
import { isGroupFile, readGroup } from "./group-source.ts";
import type { IniDialect } from "./ini/dialect.ts";
import { readIni, type IniSource } from "./ini/source.ts";
import { mapJson, type JsonDialect } from "./json-dialect.ts";
import { isIni } from "./ini/parse.ts";
import { claimOfFileName } from "./instance-name.ts";
import { configKeys, schemaAt } from "./keys.ts";
import { nearest } from "./nearest.ts";
import { Origins, type Origin } from "./origin.ts";
import { applyEnvironment, applySets, type Draft } from "./overrides.ts";
import { parseBytes, type ParsedText } from "./parse.ts";
import { ConfigInvalidError, type Notice, type Problem } from "./problem.ts";
import { validate, valueAt } from "./validate.ts";

/** The roles that a configuration can be for; the table in roles.ts is one. */
export interface SchemaCatalog {
  names: readonly string[];
  schemaOf(role: string): Promise<z.ZodObject>;
  /** How the role reads the INI files of the program that it replaces, if it replaces one. */
  dialectOf?(role: string): Promise<IniDialect | undefined>;
  /** How the role reads the JSON files of such a program. */
  jsonDialectOf?(role: string): Promise<JsonDialect | undefined>;
}

export interface ConfigSources {
  file: string;
  /** What the file would hold, for a command line that is the whole configuration; `file` is then only a name. */
  text?: string;
  /** INI files that are laid over the first one. */
  furtherFiles?: readonly string[];
  /** The role that the command line asks for; a file of another role is then a mistake. */
  role?: string;
  environment: Record<string, string | undefined>;
  /** `key=value` texts of `--set`, in order. */
  sets: readonly string[];
  /** Absolute. */
  workingDirectory: string;
  /** Which line of a group's file of addresses this instance is, from 0. */
  replica?: number;
  /** Of a frontend: the prefix of the groups' files (its own when missing), and how many shards there are (all). */
  groups?: { base?: string; shardCount?: number };
  /** It will run on another host: the files that it names (secrets, certificates) are there and not looked at here. */
  isForOtherHost?: boolean;
}

/** The keys that every role has after loading. */
export interface LoadedConfig<Config = Record<string, unknown>> {
  role: string;
  instance: string;
  /** Absolute. */
  dataDir: string;
  /** As the file has it, perhaps relative; the instance's name when it says nothing. */
  dataDirAsWritten: string;
  /** As given; absolute paths are `resolve(workingDirectory, file)`. */
  file: string;
  /** Complete: every default applied. */
  config: Config;
  schema: z.ZodObject;
  origins: Origins;
  /** Absolute path of the INI file that the value of this key came from; undefined when it came from elsewhere. */
  iniFileOf(key: string): string | undefined;
  /** What `run` logs and `check` prints, in the order of the file. */
  notices: Notice[];
}

/**
 * Loads one file. Throws NX_CONFIG_UNREADABLE, or ConfigInvalidError with all problems of the values and of
 * the files they name (secrets, certificates).
 */
export async function loadConfig(sources: ConfigSources, catalog: SchemaCatalog): Promise<LoadedConfig> {
  const outcome = await tryLoadConfig(sources, catalog);
  if (outcome.config === undefined) {
    const role = outcome.role === undefined ? "ROLE" : outcome.role;
    throw new ConfigInvalidError(
      outcome.problems,
      `\`node-x config explain ${role}.KEY\` describes a key, \`node-x check FILE\` checks again`,
    );
  }
  return outcome.config;
}

export interface LoadOutcome {
  /** Undefined when there are problems. */
  config: LoadedConfig | undefined;
  problems: Problem[];
  notices: Notice[];
  role: string | undefined;
}

/** Like `loadConfig`, but returns the problems. Throws only when the file cannot be read. */
export async function tryLoadConfig(sources: ConfigSources, catalog: SchemaCatalog): Promise<LoadOutcome> {
  const { parsed, claim, notices, defaults, isIni } = await readSource(sources, catalog);
  const problems = parsed.problems;
  const role = roleOf(parsed, sources, claim?.role, catalog.names);
  if (role === undefined) return { config: undefined, problems, notices, role };

  const schema = await catalog.schemaOf(role);
  if (sources.replica !== undefined && parsed.value.replica === undefined && problems.length === 0)
    parsed.value.replica = sources.replica;
  const draft: Draft = { role, schema, value: parsed.value, origins: new Origins(), problems: [] };
  draft.origins.setAll([], parsed.value, (path) => parsed.originAt(parsed.valueOffset(path)));
  fillIdentity(draft, parsed, sources, role, claim?.instance);
  applyEnvironment(draft, sources.environment);
  applySets(draft, sources.sets);
  for (const [name, value] of Object.entries(defaults)) setDefault(draft, name.split("."), value);
  draft.value.dataDir ??= String(draft.value.instance ?? role);
  const config = validate(schema, draft, parsed);

  // Past a mistake of the text, values may be misread: only what stands before it is worth reporting.
  const cut =
    parsed.firstMisreadOffset === Number.POSITIVE_INFINITY
      ? undefined
      : parsed.originAt(parsed.firstMisreadOffset);
  problems.push(...draft.problems.filter((problem) => cut === undefined || isBefore(problem.origin, cut)));
  if (config !== undefined && sources.isForOtherHost !== true)
    problems.push(
      ...fileProblems({
        config,
        schema,
        origins: draft.origins,
        workingDirectory: sources.workingDirectory,
      }),
    );
  if (config === undefined || problems.length > 0)
    return { config: undefined, problems: inFileOrder(problems), notices, role };

  const identity = config as { instance: string; dataDir: string };
  const dataDir = resolve(sources.workingDirectory, identity.dataDir);
  const loaded = {
    role,
    instance: identity.instance,
    dataDir,
    dataDirAsWritten: identity.dataDir,
    file: sources.file,
    config: { ...config, dataDir },
    schema,
    origins: draft.origins,
    notices,
    iniFileOf(key: string) {
      const origin = draft.origins.exact(key.split("."));
      return isIni && origin.kind === "file" ? resolve(sources.workingDirectory, origin.file) : undefined;
    },
  };
  return { config: loaded, problems, notices, role };
}

/** The file's value with its places, and what its name or its contents say about role and instance. */
async function readSource(
  sources: ConfigSources,
  catalog: SchemaCatalog,
): Promise<IniSource & { isIni: boolean }> {
  const { text } = sources;
  const files = [sources.file, ...(sources.furtherFiles ?? [])].map((file, index) => {
    if (text !== undefined && index === 0) return { file, bytes: new TextEncoder().encode(text) };
    return { file, bytes: readConfigFile(resolve(sources.workingDirectory, file)) };
  });
  const [first] = files;
  if (first !== undefined && isIni(first.file, first.bytes))
    return { ...(await readIni(files, sources, catalog)), isIni: true };
  if (first !== undefined && isFrontendFile(first.file)) {
    const read = (file: string) => readConfigFile(resolve(sources.workingDirectory, file));
    return { ...readFrontend(first.file, first.bytes, sources.groups ?? {}, read), isIni: false };
  }
  if (first !== undefined && isGroupFile(first.file))
    return { ...readGroup(first.file, first.bytes, sources.role, sources.replica), isIni: false };
  const parsed = parseBytes(sources.file, first?.bytes ?? new Uint8Array(0));
  const claim = claimOfFileName(sources.file, catalog.names);
  return {
    parsed,
    claim,
    notices: [],
    defaults: {},
    ...(await readForeignJson(parsed, claim?.role ?? sources.role, catalog)),
    isIni: false,
  };
}

/** A JSON file with the keys of an original program gets ours. `role` is what is known of it without its keys. */
async function readForeignJson(parsed: ParsedText, role: string | undefined, catalog: SchemaCatalog) {
  if (parsed.value.role !== undefined) return undefined;
  for (const name of role === undefined ? catalog.names : [role]) {
    const dialect = await catalog.jsonDialectOf?.(name);
    const found = dialect?.roleOf(parsed.value);
    if (dialect !== undefined && found !== undefined) return mapJson(parsed, dialect, role ?? found);
  }
  return undefined;
}

/** Sets a key that no source set, without an origin: it is a default. What the schema does not know stays away. */
function setDefault(draft: Draft, path: readonly string[], value: unknown): void {
  const isKnown = schemaAt(draft.schema, path)?.safeParse(value).success === true;
  if (!isKnown || valueAt(draft.value, path) !== undefined) return;
  let object = draft.value;
  for (const part of path.slice(0, -1)) object = (object[part] ??= {}) as Draft["value"];
  object[path.at(-1) ?? ""] = value;
}

/** The bytes of a file at an absolute path. Throws NX_CONFIG_UNREADABLE with the reason. */
export function readConfigFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    const reasons: Record<string, string> = {
      ENOENT: "there is no such file",
      EACCES: "permission denied",
      EISDIR: "it is a directory",
    };
    const errno = errnoOf(error) ?? "";
    const whereFrom = path.endsWith(".ini")
      ? "give the INI file of the program in whose place this runs: --config FILE"
      : "`node-x init ROLE` writes a commented sample";
    throw new NxError("NX_CONFIG_UNREADABLE", `${path}: ${reasons[errno] ?? (error as Error).message}`, {
      hint: errno === "ENOENT" ? whereFrom : "give a configuration file that this user can read",
      cause: error,
    });
  }
}

/** The role: from the key `role`, else from the file's name, else from the command line; they must agree. */
function roleOf(
  parsed: ParsedText,
  sources: ConfigSources,
  claimed: string | undefined,
  names: readonly string[],
): string | undefined {
  const written = parsed.value.role;
  if (written === undefined) {
    const role = claimed ?? sources.role;
    if (role !== undefined && sources.role !== undefined && role !== sources.role) {
      parsed.problems.push({
        origin: parsed.originAt(0),
        path: ["role"],
        wanted: JSON.stringify(sources.role),
        got: `${JSON.stringify(role)}, from the file's name`,
      });
      return undefined;
    }
    if (role === undefined && parsed.problems.length === 0) {
      const wanted = `a role, because the file is not named prefix.<role><n>.json or <role>.json`;
      parsed.problems.push({ origin: parsed.originAt(0), path: ["role"], wanted, got: "nothing" });
    }
    return role;
  }
  const isKnown = typeof written === "string" && names.includes(written);
  if (isKnown && (sources.role === undefined || sources.role === written)) return written;
  const suggestion = isKnown ? undefined : nearest(String(written), names);
  parsed.problems.push({
    origin: parsed.originAt(parsed.valueOffset(["role"])),
    path: ["role"],
    wanted: isKnown
      ? JSON.stringify(sources.role)
      : `one of ${names.map((name) => JSON.stringify(name)).join(", ")}`,
    got: parsed.source(["role"]) ?? String(written),
    ...(suggestion !== undefined && { nearest: suggestion }),
  });
  return undefined;
}

/** Puts role and instance in place where the file leaves them to its name; drops the editors' `$schema`. */
function fillIdentity(
  draft: Draft,
  parsed: ParsedText,
  sources: ConfigSources,
  role: string,
  claimed: string | undefined,
): void {
  if (typeof draft.value.$schema === "string") delete draft.value.$schema;
  const fileName: Origin = { kind: "fileName", file: sources.file };
  if (draft.value.role === undefined) draft.origins.set(["role"], fileName);
  draft.value.role = role;
  if (draft.value.instance !== undefined) return;
  draft.value.instance = claimed ?? stemOf(parsed.file);
  draft.origins.set(["instance"], fileName);
}

function stemOf(file: string): string {
  return file.slice(file.lastIndexOf("/") + 1).replace(/\.jsonc?$/, "");
}

function isBefore(origin: Origin, cut: { line: number; column: number }): boolean {
  if (origin.kind !== "file") return true;
  return origin.line < cut.line || (origin.line === cut.line && origin.column < cut.column);
}

/** Problems of the file from top to bottom, then those of variables and flags. */
function inFileOrder(problems: Problem[]): Problem[] {
  const rank = (origin: Origin) =>
    origin.kind === "file" ? origin.line * 1e7 + origin.column : Number.POSITIVE_INFINITY;
  return problems
    .map((problem, index) => ({ problem, index, rank: rank(problem.origin) }))
    .sort((a, b) => (a.rank === b.rank ? a.index - b.index : a.rank - b.rank))
    .map(({ problem }) => problem);
}

export interface ShownValue {
  key: string;
  value: unknown;
  origin: Origin;
  isReloadable: boolean;
}

/** Every key with its value and origin, in the order of the schema; for `config show` and the admin page. */
export function shownValues(loaded: LoadedConfig): ShownValue[] {
  return configKeys(loaded.schema)
    .filter((key) => !key.isGroup)
    .map((key) => ({
      key: key.name,
      value: valueAt(loaded.config, key.path),
      origin: loaded.origins.exact(key.path),
      isReloadable: key.isReloadable,
    }))
    .filter((shown) => shown.value !== undefined);
}
