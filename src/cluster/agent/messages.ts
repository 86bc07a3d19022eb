/**
 * What an operator's side and a host's agent say to each other: one table of methods, each with the shape of
 * its question, its answer and, where it talks for a while, its events.
 *
 * Invariant: both ends read this one table and check what they receive against it, so neither acts on a
 * message that it does not understand. Everything is plain JSON beside one block of bytes (frame.ts draws the
 * envelope); nothing ever passes a shell. Methods that change a host carry the generation of the cluster
 * lock, and a host refuses generations that are not those of its lock: an operator whose lock was taken over
 * can do no more harm.
 */
import { z } from "zod";
import { errorKinds, type ErrorCode } from "../../core/errors.ts";
import { privileges } from "../topology/privileges.ts";

/**
 * Raised when an end of the other version would misunderstand. The ends must have the same for whatever changes
 * a host.
 */
export const AGENT_PROTOCOL = 2;
/**
 * From here on `hello`, `inventory`, `status`, `logs`, `audit-read` and `kill` mean the same: whoever only looks,
 * or kills, gets through to an agent of any of these versions.
 */
export const OLDEST_PROTOCOL = 1;

const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.number().int().nonnegative();
const milliseconds = z.number().nonnegative();
/** Names become names of files and links: one path component, never hidden. */
const plainName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/);
const absolutePath = z.string().startsWith("/").max(4096);
/** May have folders, never leaves its place. */
const relativePath = z
  .string()
  .max(1024)
  .refine((path) => path.split("/").every((part) => /^[A-Za-z0-9_@+-][A-Za-z0-9._@+-]*$/.test(part)), {
    message: "must be a relative path of plain names",
  });

/** See services/services.ts. */
export const serviceSpec = z.object({
  instance: plainName,
  role: plainName,
  command: z.array(z.string()).min(1),
  workingDirectory: absolutePath,
  environment: z.record(z.string(), z.string()),
  dataDir: absolutePath,
  outputFile: absolutePath,
  stopTimeoutMs: milliseconds,
  privileges: z.array(z.enum(privileges)).optional(),
  namedFiles: z.object({ directory: absolutePath, names: z.array(plainName) }).optional(),
});

export const serviceStatus = z.object({
  instance: plainName,
  state: z.enum(["running", "restarting", "stopped"]),
  pid: count.optional(),
  restarts: count,
  lastEnd: z.string().optional(),
});

/** What an instance says of itself over its admin socket. */
export const instanceHealth = z.object({
  isAlive: z.boolean(),
  isReady: z.boolean(),
  /** Why it is not ready, or why nobody answered. */
  reasons: z.array(z.string()),
  /** `/stats`, as the role gives it; missing when nobody answers. */
  stats: z.record(z.string(), z.unknown()).optional(),
});

export const instanceState = z.object({
  service: serviceStatus,
  health: instanceHealth,
  /** What its link points to: the release it starts with next. */
  activeRelease: plainName.optional(),
  /** The release of the process that runs. */
  runningRelease: plainName.optional(),
  residentBytes: count.optional(),
  uptimeMs: milliseconds.optional(),
});
export type InstanceState = z.infer<typeof instanceState>;

/** One release as a host keeps it, in `releases/<id>/release.json`. */
export const releaseManifest = z.object({
  id: plainName,
  /** Hex SHA-256 of what the release is: executable, files and services of all hosts, without id and date. */
  digest: sha256Hex,
  createdAtMs: milliseconds,
  /** Who made it, and from which commit. */
  madeBy: z.string().max(500),
  version: z.string().max(200),
  executable: z.object({ sha256: sha256Hex, bytes: count }),
  /** With a salt (salted.ts) a file is private; its digest is then over salt and content. */
  files: z.array(
    z.object({
      name: relativePath,
      sha256: sha256Hex,
      bytes: count,
      salt: z
        .string()
        .regex(/^[0-9a-f]{32}$/)
        .optional(),
    }),
  ),
  services: z.array(serviceSpec),
});
export type ReleaseManifest = z.infer<typeof releaseManifest>;

export const lockState = z.object({
  /** Grows with each new owner and is never reused on a host, even after the lock was given back. */
  generation: count,
  /** Missing when nobody holds it. */
  holder: z
    .object({
      owner: z.string().max(500),
      /** What for: the command, or the operator's own words. */
      why: z.string().max(2000),
      sinceMs: milliseconds,
      /** By the host's own clock. */
      expiresAtMs: milliseconds,
    })
    .optional(),
  isExpired: z.boolean(),
});
export type LockState = z.infer<typeof lockState>;

/** One action in an audit log, before it is chained. */
export const auditAction = z.object({
  /** All entries of one command have the same. */
  operation: plainName,
  operator: z.string().max(500),
  action: z.string().max(200),
  instance: plainName.optional(),
  before: z.string().max(500).optional(),
  after: z.string().max(500).optional(),
  result: z.string().max(4000),
  durationMs: milliseconds.optional(),
  /** Heads of other logs at this moment: `host=hash`, so that a log that is cut short is found out. */
  witnesses: z.record(z.string(), z.string()).optional(),
});
export type AuditAction = z.infer<typeof auditAction>;

export const auditEntry = auditAction.extend({
  sequence: count,
  atMs: milliseconds,
  /** Hash of the entry before; 64 zeros for the first. */
  previous: sha256Hex,
  /** SHA-256 of this entry without the field itself. */
  hash: sha256Hex,
});
export type AuditEntry = z.infer<typeof auditEntry>;

/** A promise of the host to undo a swap by itself when the operator falls silent. */
export const guardState = z.object({
  instance: plainName,
  /** What it goes back to; missing: the instance is stopped, as it had none before. */
  previous: plainName.optional(),
  next: plainName,
  silenceMs: milliseconds,
  operation: plainName,
  operator: z.string().max(500),
});
export type GuardState = z.infer<typeof guardState>;

/** What an executable must fit to. */
export const hostFacts = z.object({
  hostname: z.string(),
  /** As `uname -m` says: `x86_64`, `aarch64`. */
  machine: z.string(),
  libc: z.enum(["glibc", "musl", "unknown"]),
  kernel: z.string(),
  /** Of /proc/cpuinfo: `avx2` is what matters. */
  cpuFlags: z.array(z.string()),
  cpuCount: count,
  memoryBytes: count,
  freeBytes: count,
  user: z.string(),
  isRoot: z.boolean(),
  nowMs: milliseconds,
});
export type HostFacts = z.infer<typeof hostFacts>;

export const inventory = z.object({
  facts: hostFacts,
  servicesKind: z.enum(["systemd", "supervisor"]),
  lock: lockState,
  releases: z.array(releaseManifest.extend({ isBad: z.boolean() })),
  /** Release directories without a readable manifest, such as dated ones that somebody made by hand. */
  foreignReleases: z.array(z.string()),
  currentRelease: z.string().optional(),
  instances: z.array(instanceState),
  guards: z.array(guardState),
  auditHead: z.object({ sequence: count, hash: sha256Hex }),
});
export type Inventory = z.infer<typeof inventory>;

/** Where a file is that was found to have its SHA-256 and passed its self-test, and what it is told by (disk.ts, fileMark). */
export const checkedExecutable = z.object({ path: absolutePath, mark: z.string().max(200) });
export type CheckedExecutable = z.infer<typeof checkedExecutable>;

const nothing = z.object({});
const instances = z.object({ instances: z.array(plainName) });
/** Of those methods that need the cluster lock. */
const fenced = z.object({ generation: count });
const operation = fenced.extend({ operation: plainName, operator: z.string().max(500) });

export const logLine = z.object({ instance: plainName, line: z.string() });

interface MethodShape {
  params: z.ZodObject;
  result: z.ZodObject;
  /** Sent any number of times before the answer. */
  event?: z.ZodObject;
}

/** Bytes: "takes" go with the question, "gives" with the answer. */
export const methods = {
  /**
   * First of all. Answered by any version with its own `protocol`, which the caller compares. Chooses the
   * deployment, unless the agent does not speak the caller's; then it may be asked again, in its own.
   */
  hello: {
    params: z.object({ protocol: count, workingDirectory: absolutePath, prefix: plainName }),
    result: z.object({
      protocol: count,
      version: z.string(),
      commit: z.string(),
      pid: count,
      /** The same for agents of one running machine, one file system and one user; empty when it cannot be told. */
      machineId: z.string().max(500).optional(),
    }),
  },
  /** Everything that a plan is made from. Changes nothing. */
  inventory: { params: nothing, result: inventory },

  // --- the lock
  "lock-acquire": {
    /** `generation` must be above every host's. `isForced` takes it from a holder that has not expired. */
    params: fenced.extend({
      owner: z.string().min(1).max(500),
      why: z.string().max(2000),
      ttlMs: milliseconds,
      isForced: z.boolean(),
    }),
    result: lockState,
  },
  "lock-renew": { params: fenced.extend({ ttlMs: milliseconds }), result: lockState },
  /** Giving back what is not held is fine: a later generation stays. */
  "lock-release": { params: fenced, result: lockState },

  // --- a release
  /**
   * Takes the table of the executable's blocks (release/blocks.ts), gives a bitmap of those that are missing
   * here.
   */
  "have-blocks": {
    params: fenced.extend({ sha256: sha256Hex, bytes: count }),
    result: z.object({ missing: count, missingBytes: count, isComplete: z.boolean() }),
  },
  /** Takes zstd-compressed blocks, in the order of the bitmap, from the `first` missing one on. */
  "put-blocks": {
    params: fenced.extend({ sha256: sha256Hex, first: count, blocks: count, rawBytes: count }),
    result: nothing,
  },
  /** Checks the SHA-256 of the whole, makes it durable, and runs its self-test on this host. */
  "finish-executable": {
    params: fenced.extend({ sha256: sha256Hex }),
    result: z.object({ selftest: z.array(z.string()) }),
  },
  /**
   * Makes an executable that another host of the same `machineId` has checked and tried one of this host, too: a
   * second name of that very file. Says false when it cannot be, for whatever reason; then it has to be sent.
   */
  "adopt-executable": {
    params: fenced.extend({ sha256: sha256Hex, checked: checkedExecutable }),
    result: z.object({ isAdopted: z.boolean() }),
  },
  /**
   * Takes the files, one after the other in the order of the manifest. Makes the release eligible, all or
   * nothing.
   */
  "write-release": {
    params: operation.extend({ manifest: releaseManifest }),
    result: z.object({ checked: checkedExecutable.optional() }),
  },
  "link-current": { params: operation.extend({ release: plainName }), result: nothing },
  "mark-bad": {
    params: operation.extend({ release: plainName, reason: z.string().max(2000) }),
    result: nothing,
  },
  /** Removes releases that nothing refers to, the oldest first, until `keep` are left. */
  prune: { params: operation.extend({ keep: count }), result: z.object({ removed: z.array(z.string()) }) },

  // --- instances
  /**
   * Points the instance at a release and installs its service as that release describes it. Starts nothing.
   */
  swap: {
    params: operation.extend({ instance: plainName, release: plainName }),
    result: z.object({ previous: plainName.optional() }),
  },
  /**
   * Forgets instances that have moved away or are gone from the prefix: stopped, service and link removed,
   * data kept.
   */
  forget: { params: operation.extend({ instances: z.array(plainName) }), result: nothing },
  start: { params: operation.extend({ instances: z.array(plainName) }), result: nothing },
  stop: { params: operation.extend({ instances: z.array(plainName) }), result: nothing },
  /** SIGKILL. The only change that needs no lock: it always works. Without names: all of the deployment. */
  kill: {
    params: z.object({
      instances: z.array(plainName).optional(),
      operation: plainName,
      operator: z.string().max(500),
    }),
    result: instances,
  },
  status: {
    params: z.object({ instances: z.array(plainName).optional() }),
    result: z.object({ instances: z.array(instanceState) }),
  },
  /**
   * Waits until the instance is ready and stayed so, in one process, for `healthyForMs`; events tell how far
   * it is.
   */
  gate: {
    params: z.object({ instance: plainName, healthyForMs: milliseconds, readyTimeoutMs: milliseconds }),
    result: z.object({ isHealthy: z.boolean(), reason: z.string() }),
    event: z.object({ text: z.string() }),
  },
  /** The last lines of instances; with `isFollowing` it goes on until `cancel`. */
  logs: {
    params: z.object({ instances: z.array(plainName), lines: count.max(100_000), isFollowing: z.boolean() }),
    result: nothing,
    event: logLine,
  },
  /** Ends a running question, named by its number. */
  cancel: { params: z.object({ number: count }), result: nothing },
  /** Runs a program, given as words: no shell. Events give its output, base64. */
  exec: {
    params: z.object({
      words: z.array(z.string()).min(1),
      operation: plainName,
      operator: z.string().max(500),
      timeoutMs: milliseconds,
    }),
    result: z.object({ code: z.number().int().optional(), signal: z.string().optional() }),
    event: z.object({ stream: z.enum(["stdout", "stderr"]), base64: z.string() }),
  },
  /**
   * A piece of the tar archive of a data directory that moves here, in order; the last one brings the SHA-256
   * of all.
   */
  "put-data": {
    params: fenced.extend({
      instance: plainName,
      dataDir: absolutePath,
      offset: count,
      sha256: sha256Hex.optional(),
    }),
    result: nothing,
  },
  /** Puts the data of an instance that moved away aside, so that nothing starts with it by mistake. */
  "retire-data": {
    params: operation.extend({ instance: plainName, dataDir: absolutePath }),
    result: z.object({ path: absolutePath }),
  },
  /** Stops everything and removes the deployment; `withData` also the data directories of its instances. */
  destroy: {
    params: operation.extend({ withData: z.boolean() }),
    result: z.object({ removed: z.array(z.string()) }),
  },

  // --- the dead man's guard
  /** From now on silence for `silenceMs` undoes the swap of the instance. */
  "guard-arm": { params: operation.extend({ guard: guardState }), result: nothing },
  /** The operator lives. */
  "guard-renew": { params: fenced, result: z.object({ armed: count }) },
  /** Throws NX_ROLLED_BACK when the guard was faster. */
  "guard-disarm": { params: operation.extend({ instance: plainName }), result: nothing },

  // --- the audit log
  "audit-append": {
    params: z.object({ action: auditAction }),
    result: z.object({ sequence: count, hash: sha256Hex }),
  },
  /** Events give the entries, in order. */
  "audit-read": {
    params: z.object({ fromSequence: count, limit: count }),
    result: z.object({ tornBytes: count }),
    event: auditEntry,
  },
} as const satisfies Record<string, MethodShape>;

export type Method = keyof typeof methods;
export type Params<Name extends Method> = z.infer<(typeof methods)[Name]["params"]>;
export type Result<Name extends Method> = z.infer<(typeof methods)[Name]["result"]>;
type EventSchema<Name extends Method> = (typeof methods)[Name] extends {
  event: infer Schema extends z.ZodObject;
}
  ? Schema
  : never;
export type AgentEvent<Name extends Method> = z.infer<EventSchema<Name>>;

/** A question that failed. The code is one of errors.ts where both ends know it. */
export const agentError = z.object({
  code: z.string().transform((code): ErrorCode => (code in errorKinds ? (code as ErrorCode) : "NX_INTERNAL")),
  message: z.string(),
  hint: z.string().optional(),
});
