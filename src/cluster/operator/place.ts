/**
 * The operator's own place: what this machine keeps of a cluster, and which executable it sends.
 *
 *   <state>/node-x/clusters/<prefix>-<8 hex of the directory>/audit.jsonl     the operator's end of the audit chain
 *                                                             rollout.jsonl   the journal of the last rollout
 *   <state>/node-x/s/                                         control sockets of ssh, kept short
 *
 * None of it is needed to go on from another machine: what is true is what the hosts say.
 */
import { createHash } from "node:crypto";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { buildInfo } from "../../core/build-info.ts";
import { NxError } from "../../core/errors.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { LinkingDisk } from "../../core/seams/disk.ts";
import { makeDurableDirectory } from "../../core/seams/durable-files.ts";
import { AuditLog } from "../audit/chain.ts";
import { defaultSshSettings, type SshSettings } from "../ssh/command.ts";
import { userName } from "../user-name.ts";

export interface OperatorPlace {
  disk: LinkingDisk;
  clock: Clock;
  environment: Record<string, string | undefined>;
  /** Absolute. */
  workingDirectory: string;
}

/** `user@machine`. */
export function operatorName(): string {
  return `${userName()}@${hostname()}`;
}

export function stateDirectory({ environment }: Pick<OperatorPlace, "environment">): string {
  const state = environment.XDG_STATE_HOME ?? join(environment.HOME ?? "/", ".local/state");
  return join(state, "node-x");
}

/** Throws NX_OUTPUT_FAILED where this user can keep nothing. */
export async function makeStateDirectory(place: OperatorPlace): Promise<void> {
  const path = stateDirectory(place);
  try {
    await makeDurableDirectory(place.disk, path);
  } catch (error) {
    throw new NxError("NX_OUTPUT_FAILED", (error as Error).message, {
      hint: "your side of a cluster's audit log is kept there: set XDG_STATE_HOME to a directory that this user can write to",
      cause: error,
    });
  }
}

export function clusterDirectory(
  place: OperatorPlace,
  cluster: { prefix: string; directory: string },
): string {
  const mark = createHash("sha256").update(cluster.directory).digest("hex").slice(0, 8);
  return join(stateDirectory(place), "clusters", `${cluster.prefix}-${mark}`);
}

export function ownAudit(place: OperatorPlace, cluster: { prefix: string; directory: string }): AuditLog {
  return new AuditLog(place.disk, place.clock, join(clusterDirectory(place, cluster), "audit.jsonl"));
}

/** The kernel's limit for a socket's path, less the 40 letters that ssh makes of %C and what it adds while it binds. */
const CONTROL_DIRECTORY_LENGTH_MAX = 107 - 40 - 20;

/** Seconds until a host counts as down: NODE_X_SSH_CONNECT_TIMEOUT, for slow hosts. Throws NX_USAGE. */
function connectTimeout(text: string | undefined): number {
  if (text === undefined) return defaultSshSettings.connectTimeoutSeconds;
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new NxError("NX_USAGE", `NODE_X_SSH_CONNECT_TIMEOUT: wanted seconds from 1 to 9999, got "${text}"`);
}

/** DIAMOND_SSH or NODE_X_SSH names another ssh, NODE_X_SSH_CONFIG another ssh_config. */
export async function sshSettings(place: OperatorPlace): Promise<SshSettings> {
  const { environment, disk } = place;
  const controlDirectory = join(stateDirectory(place), "s");
  const isShort = Buffer.byteLength(controlDirectory) <= CONTROL_DIRECTORY_LENGTH_MAX;
  // Without it each command has a connection of its own, which is slower and no more.
  const isShared =
    isShort &&
    (await makeDurableDirectory(disk, controlDirectory).then(
      () => true,
      () => false,
    ));
  return {
    connectTimeoutSeconds: connectTimeout(environment.NODE_X_SSH_CONNECT_TIMEOUT),
    program: environment.NODE_X_SSH ?? environment.DIAMOND_SSH ?? defaultSshSettings.program,
    ...(environment.NODE_X_SSH_CONFIG !== undefined && { configFile: environment.NODE_X_SSH_CONFIG }),
    ...(isShared && { controlDirectory }),
  };
}

/**
 * The executable that hosts get: the one asked for, that of the checkout which DIAMOND_SRC_DIR names, else this one. Throws
 * NX_NOT_RUNNING … when there is none.
 */
export async function executablePath(place: OperatorPlace, asked: string | undefined): Promise<string> {
  const { environment, workingDirectory, disk } = place;
  if (asked !== undefined) return await existing(disk, resolve(workingDirectory, asked), "--executable");
  const source = environment.DIAMOND_SRC_DIR;
  if (source !== undefined)
    return await existing(disk, resolve(workingDirectory, source, "dist/node-x"), "DIAMOND_SRC_DIR");
  if (buildInfo.isCompiled) return process.execPath;
  return await existing(disk, resolve(import.meta.dir, "../../../dist/node-x"), "this checkout");
}

async function existing(disk: LinkingDisk, path: string, source: string): Promise<string> {
  if (await disk.exists(path)) return path;
  throw new NxError("NX_CONFIG_UNREADABLE", `${path}: there is no such executable (from ${source})`, {
    hint: "`bun run build` makes dist/node-x",
  });
}
