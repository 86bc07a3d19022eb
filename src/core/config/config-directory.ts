/** The names of the files in a directory of configurations. */
import { readdirSync } from "node:fs";
import { errnoOf, NxError } from "../errors.ts";

/** Names of files (and links to them), sorted; none when the directory is missing. Throws NX_CONFIG_UNREADABLE. */
export function listConfigDirectory(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isFile() || entry.isSymbolicLink())
      .map(({ name }) => name)
      .sort();
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "")) return [];
    throw new NxError("NX_CONFIG_UNREADABLE", `${path}: ${(error as Error).message}`, {
      hint: "give a prefix in a directory that this user can read",
      cause: error,
    });
  }
}
