/** Writes the files that a load generator was asked for. */
import { writeFileSync } from "node:fs";
import { outputFailed } from "../output-failed.ts";

/** Replaces `path`. Throws NX_OUTPUT_FAILED. */
export function writeOutput(path: string, content: string): void {
  try {
    writeFileSync(path, content);
  } catch (error) {
    throw outputFailed(path, error);
  }
}
