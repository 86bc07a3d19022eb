/** When files were written, for tools that tell an operator how old something is. */
import { statSync } from "node:fs";

/** Milliseconds since 1970; undefined when there is no such file. */
export function modifiedAtMs(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs;
}
