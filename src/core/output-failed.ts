/** Why a file that somebody asked for cannot be written, in words for him. */
import { errnoOf, NxError } from "./errors.ts";

/** NX_OUTPUT_FAILED with what to do about this reason. */
export function outputFailed(path: string, error: unknown): NxError {
  const errno = errnoOf(error);
  const hints: Record<string, string> = {
    ENOSPC: "the disk is full: free space there, or give another directory",
    EDQUOT: "this user's quota is used up: free space there, or give another directory",
    EROFS: "this file system is read-only: give another directory",
    ENOENT: "give a path in a directory that exists",
  };
  return new NxError("NX_OUTPUT_FAILED", `${path} cannot be written (${errno ?? (error as Error).message})`, {
    hint: hints[errno ?? ""] ?? "give a directory that this user can write to",
    cause: error,
  });
}
