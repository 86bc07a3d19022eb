/**
 * Secrets that a configuration names by file: passwords and tokens.
 *
 * Invariant: a secret never comes from argv, from the environment or from a file that other users can read, and is never
 * logged. `check` reports the same problems before anything starts.
 */
import { readFileSync, statSync } from "node:fs";
import { errnoOf, NxError } from "./errors.ts";

/** The file's single line. Throws NX_SECRET_UNUSABLE. */
export function readSecret(key: string, path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8").replace(/\r?\n$/, "");
    if ((statSync(path).mode & 0o077) !== 0) {
      throw new NxError("NX_SECRET_UNUSABLE", `${key}: ${path} can be accessed by other users`, { hint: `chmod 600 ${path}` });
    }
  } catch (error) {
    if (error instanceof NxError) throw error;
    throw new NxError("NX_SECRET_UNUSABLE", `${key}: ${path} cannot be read (${errnoOf(error) ?? (error as Error).message})`, {
      hint: "give a file that this user can read",
      cause: error,
    });
  }
  if (text === "" || text.includes("\n")) {
    throw new NxError("NX_SECRET_UNUSABLE", `${key}: ${path} must hold one line that is not empty`, { hint: "write the secret alone into the file" });
  }
  return text;
}
