/**
 * The audit log: one JSON line for each action, each with the hash of the line before.
 *
 * Invariant: a line that was changed, removed, inserted or moved breaks the chain at that place. That the end
 * was cut off shows only outside: both ends write down each other's head (`witnesses`), so `verifyChain` is
 * given the hashes that others have seen. A crash leaves at most a part of a last line, which was promised to
 * nobody and is cut off by the next append.
 */
import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { NxError } from "../../core/errors.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { Disk, DiskFile } from "../../core/seams/disk.ts";
import { makeDurableDirectory } from "../../core/seams/durable-files.ts";
import { auditEntry, type AuditAction, type AuditEntry } from "../agent/messages.ts";
import { lockSoon } from "../lock/host-lock.ts";
import { linesOf, NEWLINE } from "../json-lines.ts";
import { readWhole } from "../release/files.ts";

const LOG_BYTES_MAX = 256 << 20;
const TAIL_BYTES = 128 << 10;
const ORIGIN = "0".repeat(64);

export interface Head {
  /** Number of entries. */
  sequence: number;
  /** Hash of the last one; zeros when there is none. */
  hash: string;
}

export const emptyHead: Head = { sequence: 0, hash: ORIGIN };

/** SHA-256 over the entry as JSON with sorted keys, without its own hash. */
export function hashOf({ hash: _, ...entry }: AuditEntry): string {
  return createHash("sha256").update(canonical(entry)).digest("hex");
}

function canonical(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  const entries = Object.entries(value).filter(([, part]) => part !== undefined);
  const parts = entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${parts.map(([key, part]) => `${JSON.stringify(key)}:${canonical(part)}`).join(",")}}`;
}

export class AuditLog {
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly path: string;

  constructor(disk: Disk, clock: Clock, path: string) {
    this.#disk = disk;
    this.#clock = clock;
    this.path = path;
  }

  /** Resolves when the entry would survive power loss. */
  async append(action: AuditAction): Promise<AuditEntry> {
    await makeDurableDirectory(this.#disk, dirname(this.path));
    const guard = await lockSoon(this.#disk, this.#clock, `${this.path}.guard`);
    try {
      const isNew = !(await this.#disk.exists(this.path));
      const file = await this.#disk.open(this.path, "create");
      try {
        const { head, endsAt } = await this.#end(file);
        const unhashed = {
          ...action,
          sequence: head.sequence,
          atMs: this.#clock.nowMs(),
          previous: head.hash,
          hash: "",
        };
        const entry = { ...unhashed, hash: hashOf(unhashed) };
        await file.truncate(endsAt);
        await file.write(new TextEncoder().encode(`${JSON.stringify(entry)}\n`), endsAt);
        await file.sync();
        if (isNew) await this.#disk.syncDirectory(dirname(this.path));
        return entry;
      } finally {
        await file.close();
      }
    } finally {
      await guard.release();
    }
  }

  async head(): Promise<Head> {
    if (!(await this.#disk.exists(this.path))) return emptyHead;
    const file = await this.#disk.open(this.path, "read");
    try {
      return (await this.#end(file)).head;
    } finally {
      await file.close();
    }
  }

  /** The head, and where the last entry ends. */
  async #end(file: DiskFile): Promise<{ head: Head; endsAt: number }> {
    const size = await file.size();
    for (let tail = Math.min(size, TAIL_BYTES); ; tail = Math.min(size, 2 * tail)) {
      const bytes = new Uint8Array(tail);
      await file.read(bytes, size - tail);
      // The first line may have begun before.
      const start = tail < size ? bytes.indexOf(NEWLINE) + 1 : 0;
      const { lines, endsAt } = linesOf(bytes.subarray(start));
      const last = lines.at(-1);
      if (last === undefined && tail < size) continue;
      const end = size - tail + start + endsAt;
      if (last === undefined) return { head: emptyHead, endsAt: end };
      const { sequence, hash } = parseLine(last, this.path, undefined);
      return { head: { sequence: sequence + 1, hash }, endsAt: end };
    }
  }

  /**
   * Every entry, and how many bytes of an unfinished one follow. Throws NX_AUDIT_BROKEN for what is no entry.
   */
  async read(): Promise<{ entries: AuditEntry[]; tornBytes: number }> {
    if (!(await this.#disk.exists(this.path))) return { entries: [], tornBytes: 0 };
    const bytes = await readWhole(this.#disk, this.path, LOG_BYTES_MAX);
    const { lines, endsAt } = linesOf(bytes);
    return {
      entries: lines.map((line, index) => parseLine(line, this.path, index)),
      tornBytes: bytes.byteLength - endsAt,
    };
  }
}

function parseLine(line: string, path: string, index: number | undefined): AuditEntry {
  try {
    return auditEntry.parse(JSON.parse(line));
  } catch (error) {
    const where = index === undefined ? "its last line" : `line ${index + 1}`;
    throw new NxError("NX_AUDIT_BROKEN", `${path}: ${where} is no entry`, { cause: error });
  }
}

/**
 * Throws NX_AUDIT_BROKEN at the first entry that does not fit. `witnessed` are hashes of this log that other
 * logs wrote down: each must be there.
 */
export function verifyChain(
  name: string,
  entries: readonly AuditEntry[],
  witnessed: Iterable<string> = [],
): Head {
  let head = emptyHead;
  const hashes = new Set([ORIGIN]);
  for (const entry of entries) {
    const where = `${name}: entry ${head.sequence}`;
    if (entry.sequence !== head.sequence || entry.previous !== head.hash) {
      throw broken(`${where} does not follow the one before: something was removed, inserted or moved`);
    }
    if (entry.hash !== hashOf(entry)) throw broken(`${where} was changed`);
    hashes.add(entry.hash);
    head = { sequence: entry.sequence + 1, hash: entry.hash };
  }
  for (const hash of witnessed) {
    if (!hashes.has(hash))
      throw broken(`${name}: entry ${hash.slice(0, 12)}… is missing, which another log has seen`);
  }
  return head;
}

function broken(message: string): NxError {
  return new NxError("NX_AUDIT_BROKEN", message, {
    hint: "compare with the logs of the other hosts and of the operators' machines",
  });
}
