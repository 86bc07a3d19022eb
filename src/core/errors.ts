/**
 * Every error an operator can meet, in one list of stable codes.
 *
 * Invariant: a code never changes its meaning and is never reused. Each has an exit code (sysexits) and
 * a sentence for docs/errors.md, which is generated from this table. Operating errors are thrown as
 * `NxError` with what, where and what to do; broken assumptions of ours go through `assert` and end
 * the process, because continuing would risk the data.
 */

/** Exit codes after sysexits.h; 2 is only used where a plan has work to do. */
export const Exit = {
  ok: 0,
  failed: 1,
  workToDo: 2,
  usage: 64,
  dataError: 65,
  unavailable: 69,
  internal: 70,
  cannotCreate: 73,
  ioError: 74,
  temporary: 75,
  denied: 77,
  config: 78,
} as const;

interface ErrorKind {
  exit: number;
  /** One sentence for people: what it means and the usual way out. */
  meaning: string;
}

export const errorKinds = {
  NX_USAGE: {
    exit: Exit.usage,
    meaning:
      "The command line is not one that node-x understands. The message names the nearest flag or verb.",
  },
  NX_CONFIG_INVALID: {
    exit: Exit.config,
    meaning:
      "A configuration file has errors. All of them are listed, each with file, line, column, what was wanted and what was found.",
  },
  NX_CONFIG_UNREADABLE: { exit: Exit.config, meaning: "A configuration file is missing or cannot be read." },
  NX_CONFIG_NOT_RELOADABLE: {
    exit: Exit.config,
    meaning: "A reload changed keys that only a restart can change; nothing was applied.",
  },
  NX_SECRET_UNUSABLE: {
    exit: Exit.config,
    meaning:
      "A file with a secret, key or certificate is missing, not valid, or can be accessed by other users. `chmod 600` keeps it private.",
  },
  NX_INPUT_INVALID: {
    exit: Exit.dataError,
    meaning:
      "What was read from standard input is not in the form that the command takes; the message names the line.",
  },
  NX_FILE_EXISTS: {
    exit: Exit.cannotCreate,
    meaning: "A file that would be written exists already. Nothing was overwritten.",
  },
  NX_OUTPUT_FAILED: { exit: Exit.cannotCreate, meaning: "A file that was asked for cannot be written." },
  NX_ROLE_UNKNOWN: { exit: Exit.usage, meaning: "No role has this name; `node-x roles` lists them." },
  NX_DATA_DIR_LOCKED: {
    exit: Exit.temporary,
    meaning:
      "Another process uses this data directory. Stop it, or give this instance a directory of its own.",
  },
  NX_DATA_DIR_UNUSABLE: {
    exit: Exit.cannotCreate,
    meaning: "The data directory cannot be created, read or written.",
  },
  NX_DATA_VERSION: {
    exit: Exit.config,
    meaning: "The data directory was written by another format version of node-x.",
  },
  NX_DATA_CORRUPT: {
    exit: Exit.dataError,
    meaning: "Stored data fails its checksum: the message gives file and offset. Nothing damaged is served.",
  },
  NX_DATA_OUT_OF_RANGE: {
    exit: Exit.config,
    meaning:
      "A dump holds records of another node's hash range, and the configuration says not to load them. Correct hashRange, or bring the right file.",
  },
  NX_DISK_FULL: {
    exit: Exit.ioError,
    meaning:
      "The disk is full. The role answers reads, refuses writes and resumes by itself once there is space.",
  },
  NX_DISK_FAILED: {
    exit: Exit.ioError,
    meaning:
      "Reading, writing or syncing a file failed. After a failed sync the role stops rather than guess what is on disk.",
  },
  NX_LISTEN_IN_USE: { exit: Exit.unavailable, meaning: "Another process listens on this address and port." },
  NX_LISTEN_DENIED: {
    exit: Exit.denied,
    meaning: "Listening on this address or port is not permitted or the address is not of this host.",
  },
  NX_TIMEOUT: {
    exit: Exit.temporary,
    meaning:
      "A peer did not answer in time. What was asked may have been done or not; ask again where that does no harm.",
  },
  NX_CLIENT_BUSY: {
    exit: Exit.temporary,
    meaning: "More requests wait for a node than the client may keep. Nothing of this one was sent.",
  },
  NX_CONNECT_FAILED: { exit: Exit.unavailable, meaning: "A peer could not be reached." },
  NX_ETCD_WENT_BACK: {
    exit: Exit.temporary,
    meaning:
      "The revisions of the etcd behind a frontend went back: it was restored from a backup, or it is another one. The frontend ends, and serves what is there when it is started again; clients that have seen more load anew.",
  },
  NX_STREAM_REPLICA_REFUSED: {
    exit: Exit.temporary,
    meaning: "A replica server answered that it cannot do what was asked; its own words are in the message.",
  },
  NX_TLS_INVALID: {
    exit: Exit.config,
    meaning: "A certificate or key cannot be read, does not match, or is readable by others.",
  },
  NX_NATIVE_DAMAGED: {
    exit: Exit.internal,
    meaning:
      "An embedded library does not have the digest it was built with. The executable is damaged; copy it again.",
  },
  NX_NATIVE_UNLOADABLE: {
    exit: Exit.unavailable,
    meaning: "The embedded C library cannot be loaded on this host; the message gives the loader's reason.",
  },
  NX_TOOL_MISSING: {
    exit: Exit.unavailable,
    meaning: "A program that this command needs is not installed; the message names the package.",
  },
  NX_HOST_UNREACHABLE: {
    exit: Exit.unavailable,
    meaning: "ssh cannot connect to a host; its own words are in the message.",
  },
  NX_HOST_KEY_UNKNOWN: {
    exit: Exit.denied,
    meaning:
      "A host is met for the first time and nobody has said that its key is right. Compare the fingerprint in the message with the host's, then confirm it in a terminal or pin it in `prefix.cluster.json`.",
  },
  NX_HOST_KEY_CHANGED: {
    exit: Exit.denied,
    meaning:
      "A host shows another key than the one that is pinned or known: it was reinstalled, or somebody is in between. Nothing was sent.",
  },
  NX_HOST_DENIED: {
    exit: Exit.denied,
    meaning:
      "A host does not let this user in. Public-key authentication must work without questions (try `ssh HOST true`).",
  },
  NX_HOST_LOST: {
    exit: Exit.temporary,
    meaning:
      "The connection to a host broke. What was under way there may have happened or not; the same command finds out and goes on.",
  },
  NX_AGENT_PROTOCOL: {
    exit: Exit.internal,
    meaning:
      "Operator and agent do not understand each other: different versions, or something else answers.",
  },
  NX_LOCK_HELD: {
    exit: Exit.temporary,
    meaning:
      "Somebody else works on this cluster; the message says who, why and until when. `node-x unlock --force` takes the lock.",
  },
  NX_LOCK_LOST: {
    exit: Exit.temporary,
    meaning:
      "The cluster lock was taken over by somebody else meanwhile. This command stopped and changed nothing more.",
  },
  NX_EXECUTABLE_UNFIT: {
    exit: Exit.dataError,
    meaning:
      "The executable cannot run on a host (processor, C library, or a self-test that failed there); the message says why.",
  },
  NX_UPLOAD_DAMAGED: {
    exit: Exit.dataError,
    meaning: "What arrived at a host does not have the SHA-256 of what was sent. It was thrown away.",
  },
  NX_RELEASE_UNKNOWN: {
    exit: Exit.dataError,
    meaning: "A host does not have this release, or it is marked as bad. `node-x status` lists the releases.",
  },
  NX_ROLLED_BACK: {
    exit: Exit.temporary,
    meaning: "The operator was silent for too long, so the host went back to the release before by itself.",
  },
  NX_ROLLOUT_FAILED: {
    exit: Exit.temporary,
    meaning:
      "An instance did not become healthy with the new release. It was rolled back, the instances after it were not touched; the message has its last lines and the command that resumes.",
  },
  NX_AUDIT_BROKEN: {
    exit: Exit.dataError,
    meaning:
      "An audit log was changed, shortened or reordered; the message names the first entry that does not fit.",
  },
  NX_REGISTRATION_REFUSED: {
    exit: Exit.unavailable,
    meaning: "A registration server did not take a registration; the message gives its reason.",
  },
  NX_SERVERS_INSUFFICIENT: {
    exit: Exit.unavailable,
    meaning:
      "Fewer lookup servers gave a usable answer than the privacy level needs. The message says what was wrong with each.",
  },
  NX_SERVERS_INCONSISTENT: {
    exit: Exit.dataError,
    meaning:
      "Lookup servers contradict each other and it cannot be told who is right. Nothing of their answers was used.",
  },
  NX_STREAM_APP_INVALID: {
    exit: Exit.config,
    meaning:
      "A stream application cannot be loaded, or its pipeline does not fit together; the message says which step.",
  },
  NX_STREAM_APP_FAILED: {
    exit: Exit.dataError,
    meaning:
      "A step of a stream application threw. The worker stopped before a checkpoint could hold what it did; correct the application, or set onStepError to skip.",
  },
  NX_STREAM_REFUSED: {
    exit: Exit.config,
    meaning:
      "A stream cluster does not let this worker in: another application, another secret, a name that is taken, or a change is under way. The message says which.",
  },
  NX_JETSTREAM_REFUSED: {
    exit: Exit.config,
    meaning:
      "A JetStream stream or consumer is missing, or is not as it must be; the message says which and what is different.",
  },
  NX_JETSTREAM_UNAVAILABLE: {
    exit: Exit.temporary,
    meaning:
      "JetStream does not acknowledge: no server is reached, or too few of them are up. Writes are refused until it does, which is noticed by itself.",
  },
  NX_JETSTREAM_FENCED: {
    exit: Exit.temporary,
    meaning:
      "Another instance has taken this JetStream stream over. This one stopped; it acknowledged nothing since.",
  },
  NX_JETSTREAM_LOST: {
    exit: Exit.dataError,
    meaning:
      "A JetStream stream does not hold what its servers had acknowledged. The message says from where to where. Nothing was changed.",
  },
  NX_NOT_RUNNING: { exit: Exit.unavailable, meaning: "No instance answers on this admin endpoint." },
  NX_NOT_READY: {
    exit: Exit.failed,
    meaning: "The instance runs but is not ready; the message gives its reasons.",
  },
  NX_START_FAILED: {
    exit: Exit.failed,
    meaning:
      "An instance that `node-x up` started ended before it was ready; its own lines say why. The others were stopped again.",
  },
  NX_CHECK_FAILED: { exit: Exit.failed, meaning: "A check that was asked for did not pass." },
  NX_INTERNAL: {
    exit: Exit.internal,
    meaning: "A broken assumption inside node-x. Please report it with the message and crash file.",
  },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorKinds;

export interface NxErrorDetail {
  /** What to do about it, an imperative sentence. */
  hint?: string;
  cause?: unknown;
}

/** An operating error: `message` says what and where, `hint` what to do. */
export class NxError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, detail: NxErrorDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.name = "NxError";
    this.code = code;
    this.hint = detail.hint;
  }

  get exit(): number {
    return errorKinds[this.code].exit;
  }
}

/** The errno name of a failed system call (`ENOSPC`), or undefined for other errors. */
export function errnoOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/** Ends the operation when an assumption of ours is broken. Stays on in production. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new NxError("NX_INTERNAL", `assertion failed: ${message}`);
}
