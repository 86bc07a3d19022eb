/** Writes the files that a load generator was asked for. */
import { writeFileSync } from "node:fs";
import { errnoOf, NxError } from "../errors.ts";

/** Replaces `path`. Throws NX_OUTPUT_FAILED. */
export function writeOutput(path: string, content: string): void {
  try {
    writeFileSync(path, content);
  } catch (error) {
    throw new NxError(
      "NX_OUTPUT_FAILED",
      `${path} cannot be written (${errnoOf(error) ?? (error as Error).message})`,
      {
        hint: "give a path in a directory that exists and is writable",
        cause: error,
      },
    );
  }
}
