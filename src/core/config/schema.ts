/**
 * The keys that every role's configuration has, and how a role adds its own.
 *
 *   export const dhtConfig = roleSchema({ respPort: port(10200, "Port of the Redis protocol.") });
 *
 * Invariant: a key that means the same has the same name, the same unit and the same description in every role,
 * because it is declared here once. Each key carries its description and what an operator must know about it (can a
 * running instance change it, is it a file, is it a secret); validation, JSON Schema, samples, `config explain` and
 * docs/config.md all read these declarations.
 */
import { z } from "zod";
import { logLevels } from "../logging/log.ts";

/** What a key is beyond its type; given to `key` (and kept in zod's metadata). */
export interface KeyNotes {
  /** A running instance applies a change of this key on SIGHUP. */
  isReloadable?: boolean;
  /** The value names a file: what must be in it. `check` reads it. */
  fileKind?: FileKind;
  /** The value is the path of a program, or the name of one that comes along: deployed with what it imports. */
  isProgram?: boolean;
  /** The value is the address `host:port` (or a list of them) of instances of these roles: `check PREFIX` looks for them. */
  peerOf?: readonly string[];
  /** Where this key (dotted) is given, the address is not used: what it leads to takes the place of those roles. */
  unusedBeside?: string;
  /** With a value the process needs this of its service manager: `lvm` is root with devices. */
  privilege?: "lvm";
  /** Completes "wanted …" where the type alone says too little: `16 hex digits`. */
  wanted?: string;
  /** What happens when the key is absent, where there is no default: `no TCP admin listener`. */
  absent?: string;
  /** The value to show in a sample of a key without default. */
  example?: unknown;
}

/**
 * `secret`: one line, private to its owner. `secrets`: several. `privateKey`: PEM, private to its owner. `certificate`: PEM, may hold the
 * chain. `caBundle`: one or more PEM certificates.
 */
export type FileKind = "secret" | "secrets" | "privateKey" | "certificate" | "caBundle";

declare module "zod" {
  interface GlobalMeta extends KeyNotes {
    description?: string;
  }
}

/** Declares a key: its type (with default), one or two sentences about it, and notes. */
export function key<Schema extends z.ZodType>(
  schema: Schema,
  description: string,
  notes: KeyNotes = {},
): Schema {
  return schema.meta({ description, ...notes });
}

const PORT_MAX = 65535;

/** A listening port. 0 takes a free one; `<dataDir>/ports.json` tells which. */
export function port(defaultPort: number, description: string): z.ZodDefault<z.ZodInt> {
  return key(
    portNumber().default(defaultPort),
    `${description} 0 takes a free port; <dataDir>/ports.json tells which.`,
  );
}

/** A listening port that stays closed until it is configured. */
export function optionalPort(description: string, absent: string): z.ZodOptional<z.ZodInt> {
  return key(
    portNumber().optional(),
    `${description} 0 takes a free port; <dataDir>/ports.json tells which.`,
    { absent, example: 0 },
  );
}

function portNumber(): z.ZodInt {
  return z.int().min(0).max(PORT_MAX);
}

/** A whole number with limits; the unit belongs into the key's name (`timeoutMs`, `valueBytesMax`). */
export function integer(defaultValue: number, limits: { min: number; max?: number }): z.ZodDefault<z.ZodInt> {
  return z
    .int()
    .min(limits.min)
    .max(limits.max ?? Number.MAX_SAFE_INTEGER)
    .default(defaultValue);
}

/** The path of a file that `check` reads. */
export function filePath(): z.ZodString {
  return z.string().min(1).meta({ wanted: "the path of a file" });
}

/** A group of keys whose defaults apply when the group is absent. */
export function group<Shape extends z.ZodRawShape>(
  shape: Shape,
): z.ZodPrefault<z.ZodObject<Shape, z.core.$strict>> {
  return z.strictObject(shape).prefault({} as never);
}

/** The `durability` key: which promises the role can make, and the default one. */
export function durability<const Modes extends readonly [string, ...string[]]>(
  modes: Modes,
  defaultMode: Modes[number],
  description: string,
) {
  return key(z.enum(modes).default(defaultMode as never), description);
}

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const MEBIBYTE = 1024 * 1024;

const limitKeys = {
  connections: key(integer(5000, { min: 1, max: 1_000_000 }), "Connections open at once, over all ports of the role; further ones are closed.", { isReloadable: true }),
  idleTimeoutMs: key(integer(0, { min: 0, max: DAY_MS }), "A connection without traffic for this long is closed. 0 keeps it for ever.", { isReloadable: true }),
  stallTimeoutMs: key(integer(60_000, { min: 0, max: DAY_MS }), "A connection whose peer takes none of the replies that wait for it for this long is closed. 0 keeps it for ever.", { isReloadable: true }),
  outboxBytesMax: key(integer(64 * MEBIBYTE, { min: 64 * 1024 }), "Replies that wait for one slow reader. Past this the connection is closed.", { isReloadable: true }),
  requestBytesMax: key(integer(512 * MEBIBYTE, { min: 1024 }), "The longest single request one connection may be sending. Past this the connection is closed.", { isReloadable: true }),
}; // prettier-ignore

/** The `limits` group: those of every role and the role's own. */
export function limits<Shape extends z.ZodRawShape>(own: Shape) {
  const shape = z.strictObject(limitKeys).extend(own);
  return key(
    shape.prefault({} as never),
    "What the instance allows at most, so that one client cannot starve the others.",
  );
}

/** The files of a TLS listener. */
export const tlsKeys = {
  cert: key(filePath(), "PEM file with the certificate, followed by its chain.", { fileKind: "certificate", example: "tls/server.crt" }),
  key: key(filePath(), "PEM file with the certificate's private key. Must not be readable by other users.", { fileKind: "privateKey", example: "tls/server.key" }),
  clientCa: key(filePath().optional(), "PEM file with the authorities whose client certificates are accepted.", {
    fileKind: "caBundle",
    absent: "clients need no certificate",
    example: "tls/ca.crt",
  }),
}; // prettier-ignore

const logKeys = {
  level: key(z.enum(logLevels).default("info"), "The least important line that is written.", { isReloadable: true }),
  file: key(z.string().min(1).default("log/root.log"), "The log file, relative to dataDir."),
  statsFile: key(z.string().min(1).default("log/stats.log"), "The file of periodic figures, relative to dataDir."),
  versionFile: key(z.string().min(1).nullable().default(null), "A file that gets a line with the version at each start, relative to dataDir. null: none."),
  statsPeriodMs: key(integer(30_000, { min: 1000, max: DAY_MS }), "One line of figures is written this often."),
  fileBytesMax: key(integer(10 * MEBIBYTE, { min: 64 * 1024 }), "A log file that reaches this size is rotated."),
  filesMax: key(integer(10, { min: 1, max: 1000 }), "Files kept of each log, the current one included."),
  console: key(z.enum(["auto", "line", "json", "text", "off"]).default("auto"), "What goes to standard error. auto: the live line on a terminal, JSON lines under systemd, text elsewhere."),
}; // prettier-ignore

const commonKeys = {
  role: key(z.string(), "The role. Taken from the file's name (`prefix.<role><n>.json`, `<role>.json`) when absent."),
  instance: key(
    z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/),
    "The instance's name, unique in the cluster. Taken from the file's name (`prefix.<role><n>`) when absent.",
    { wanted: "1 to 64 letters, digits, dots, dashes or underscores, starting with a letter or digit" },
  ),
  dataDir: key(z.string().min(1), "The directory that holds everything the instance keeps; created when missing. <working directory>/<instance> when absent."),
  pidFile: key(filePath().optional(), "A file that is locked and holds the process id while the instance runs, beside <dataDir>/lock.", {
    absent: "only <dataDir>/lock",
    example: "run/node.pid",
  }),
  host: key(hostName().default("127.0.0.1"), "The address that the role's ports listen on. Loopback unless you say otherwise."),
  adminPort: optionalPort("TCP port of the admin endpoint, beside the socket <dataDir>/admin.sock.", "no TCP admin listener"),
  adminHost: key(hostName().default("127.0.0.1"), "The address that adminPort listens on. Beyond loopback it demands adminTokenFile and tls."),
  adminTokenFile: key(filePath().optional(), "File with the bearer token that the TCP admin endpoint demands. Must not be readable by other users.", {
    fileKind: "secret",
    absent: "no token; only allowed on loopback",
    example: "admin.token",
  }),
  tls: key(z.strictObject(tlsKeys).optional(), "TLS on every TCP and HTTP port of the role.", { absent: "plain TCP" }),
  log: key(z.strictObject(logKeys).prefault({}), "Where the instance writes what happens."),
  limits: limits({}),
  shutdownTimeoutMs: key(integer(30_000, { min: 0, max: DAY_MS }), "A shutdown that takes longer is cut short. What was acknowledged is on disk either way, but for a durability that writes at shutdown (dump).", { isReloadable: true }),
}; // prettier-ignore

export function hostName(): z.ZodString {
  return z
    .string()
    .regex(/^[A-Za-z0-9._:][A-Za-z0-9._:%-]{0,254}$/)
    .meta({ wanted: "a host name or an IP address" });
}

const commonObject = z.strictObject(commonKeys);

/** Names of the keys that every role has. */
export const commonKeyNames: readonly string[] = Object.keys(commonKeys);

/** The whole schema of a role: the common keys and `own`, which may replace a common key (as with `limits`). */
export function roleSchema<Shape extends z.ZodRawShape>(own: Shape) {
  return crossCheck(commonObject.extend(own), {
    path: ["adminHost"],
    wanted: "a loopback address, or adminTokenFile and tls beside it",
    holds: (value) => {
      const config = value as Partial<z.output<typeof commonObject>>;
      if (config.adminPort === undefined || isLoopback(config.adminHost ?? "127.0.0.1")) return true;
      return config.adminTokenFile !== undefined && config.tls !== undefined;
    },
  });
}

export interface CrossCheck {
  /** The key that a failure is reported at. */
  path: string[];
  wanted: string;
  /** Called with values that passed their own checks; others may be missing. */
  holds(value: unknown): boolean;
}

/** Adds a condition between keys. It is judged even when other keys have mistakes, so all are reported at once. */
export function crossCheck<Schema extends z.ZodType>(schema: Schema, check: CrossCheck): Schema {
  const holds = (value: unknown) => {
    if (typeof value !== "object" || value === null) return true;
    try {
      return check.holds(value);
    } catch {
      // The condition met a value that already failed its own check, which is reported there.
      return true;
    }
  };
  return schema.refine(holds, { path: check.path, message: check.wanted, when: () => true }) as Schema;
}

/** True for addresses that only this host can reach. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}
