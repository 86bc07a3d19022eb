/**
 * The seam to what survives the program: a log of short lines. In a file (Bun, Node), in a browser's local storage
 * (browser-storage.ts), or, to survive nothing, in memory.
 *
 * Invariant: when `append` or `replace` has resolved, the next `load` has it, whatever happened in between; a crash during one
 * of them leaves what was before or what was meant to be.
 */
import { LineFile } from "../../core/seams/line-file.ts";

export interface LogStorage {
  /** All lines, oldest first. Nobody else has the log until `close`. */
  load(): Promise<string[]>;
  append(line: string): Promise<void>;
  replace(lines: readonly string[]): Promise<void>;
  /**
   * A log of the same name that its owner has left for good, if there is one that is wanted. Nobody else has it until its own `close`.
   * To be asked now and then. Absent: there is one log only.
   */
  takeLeft?(isWanted: (lines: readonly string[]) => boolean): Promise<LogStorage | undefined>;
  close(): Promise<void>;
}

export function memoryStorage(): LogStorage {
  let kept: string[] = [];
  return {
    load: async () => [...kept],
    append: async (line) => void kept.push(line),
    replace: async (lines) => void (kept = [...lines]),
    close: async () => {},
  };
}

/** A file, for Bun and Node. Synced at every line. */
export function fileStorage(path: string): LogStorage {
  return new LineFile(path);
}
