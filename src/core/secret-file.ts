/**
 * Secrets that a configuration names by file: passwords, tokens, private keys.
 *
 * Invariant: a secret never comes from argv, from the environment or from a file that users outside its owner
 * and group can access, and is never quoted in a message. The group may read: that is how systemd and
 * Kubernetes hand secrets to a service's user. `check` reports the same problems before anything starts.
 */
import { readFileSync, statSync } from "node:fs";
import { errnoOf, NxError } from "./errors.ts";

const SECRET_BYTES_MAX = 64 * 1024;
/** Any access by users who are neither the owner nor in the group. */
const OTHERS = 0o007;

/** The single line of a secret that key `key` of the configuration names. Throws NX_SECRET_UNUSABLE. */
export function readSecret(key: string, path: string): string {
  try {
    return readSecretFile(path);
  } catch (error) {
    if (!(error instanceof NxError)) throw error;
    throw new NxError(error.code, `${key}: ${error.message}`, { hint: error.hint, cause: error });
  }
}

/** The single line of a file, without its line end. Throws NX_SECRET_UNUSABLE with `<path>, which …`. */
export function readSecretFile(path: string): string {
  const text = readPrivateFile(path, SECRET_BYTES_MAX).replace(/\r?\n$/, "");
  if (text === "") throw unusable(path, "which is empty");
  if (/[\r\n\0]/.test(text)) throw unusable(path, "which has more than one line");
  return text;
}

/** A text file that no other user can access. Throws NX_SECRET_UNUSABLE. */
export function readPrivateFile(path: string, bytesMax: number): string {
  const text = readBounded(path, bytesMax);
  const mode = statSync(path).mode & 0o777;
  if ((mode & OTHERS) !== 0) {
    throw unusable(path, `which other users can access (mode 0${mode.toString(8)}): chmod 600 it`);
  }
  return text;
}

/** A text file that an option names and that is no secret. Throws NX_USAGE. */
export function readNamed(option: string, path: string, bytesMax: number): string {
  try {
    return readBounded(path, bytesMax);
  } catch (error) {
    if (!(error instanceof NxError)) throw error;
    throw new NxError("NX_USAGE", `${option}: ${error.message}`, {
      hint: "give the path of a file that this user can read",
      cause: error,
    });
  }
}

/** A text file of at most `bytesMax` bytes. Throws NX_SECRET_UNUSABLE. */
export function readBounded(path: string, bytesMax: number): string {
  try {
    const { size } = statSync(path);
    if (size > bytesMax) throw unusable(path, `which is longer than ${bytesMax} bytes`);
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof NxError) throw error;
    const reasons: Record<string, string> = {
      ENOENT: "which does not exist",
      EACCES: "which this user may not read",
      EISDIR: "which is a directory",
    };
    throw unusable(
      path,
      reasons[errnoOf(error) ?? ""] ?? `which cannot be read (${(error as Error).message})`,
    );
  }
}

function unusable(path: string, fault: string): NxError {
  return new NxError("NX_SECRET_UNUSABLE", `${path}, ${fault}`, {
    hint: "secrets, keys and certificates are readable files; secrets and keys have mode 0600",
  });
}
