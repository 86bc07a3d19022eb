/**
 * Turns a failed system call into the error an operator reads: what failed, on which file, what to do.
 *
 * Invariant: a full disk and a failing disk are told apart here and nowhere else, for the real and the
 * simulated disk alike. Errors that callers branch on (ENOENT, EEXIST) pass unchanged.
 */
import { constants } from "node:os";
import { errnoOf, NxError } from "../errors.ts";

const FULL = new Set(["ENOSPC", "EDQUOT"]);
const PASS = new Set(["ENOENT", "EEXIST"]);

/** The error to throw for `error`, which `operation` on `path` met. */
export function diskError(error: unknown, operation: string, path: string): Error {
  const errno = errnoOf(error);
  if (error instanceof NxError || (errno !== undefined && PASS.has(errno))) return error as Error;
  if (errno !== undefined && FULL.has(errno)) {
    const reason = errno === "EDQUOT" ? "the disk quota is used up" : "the disk is full";
    return new NxError("NX_DISK_FULL", `cannot ${operation} ${path}: ${reason} (${errno})`, {
      hint: "free space on this file system or raise its quota; work resumes by itself",
      cause: error,
    });
  }
  const reason = errno ?? (error as Error | null)?.message ?? String(error);
  return new NxError("NX_DISK_FAILED", `cannot ${operation} ${path}: ${reason}`, {
    hint: hintOf(errno),
    cause: error,
  });
}

/** The same for what the C library returns: `result` is a negative errno. */
export function nativeDiskError(result: number, operation: string, path: string): Error {
  const named = Object.entries(constants.errno).find(([, value]) => value === -result);
  const code = named?.[0] ?? `errno ${-result}`;
  return diskError(Object.assign(new Error(code), { code }), operation, path);
}

function hintOf(errno: string | undefined): string {
  switch (errno) {
    case "EACCES":
    case "EPERM":
      return "let this user read and write the data directory";
    case "EBUSY":
      return "it is mounted, or another program has claimed it: unmount it, or end that program";
    case "EROFS":
      return "remount the file system writable (the kernel remounts it read-only after errors: see `dmesg`)";
    case "EMFILE":
    case "ENFILE":
      return "raise the limit on open files (LimitNOFILE= in the unit)";
    default:
      return "look at `dmesg` and the disk's health (smartctl -a); restart only on a disk that works";
  }
}
