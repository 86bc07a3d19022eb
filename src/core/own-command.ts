/** This program as a command, for processes that start it again. */
import { join } from "node:path";
import { buildInfo } from "./build-info.ts";

/** The executable itself, or the runtime with the entry file in a checkout. */
export function ownCommand(): string[] {
  return buildInfo.isCompiled ? [process.execPath] : [process.execPath, join(import.meta.dir, "../main.ts")];
}
