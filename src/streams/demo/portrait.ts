/** What a process of a demo says of itself when a wait took too long: its figures, and the end of its log. */
import { join } from "node:path";
import { adminGet } from "../../core/admin-client.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { endOfFile } from "../read-file.ts";
import type { DemoChild } from "./child.ts";

const ADMIN_MS = 5000;
const LOG_LINES = 15;
/** Of the log's end, which is enough for so many lines of usual length. */
const LOG_BYTES = 64 * 1024;

/** Never throws: what cannot be had is said instead. */
export async function portraitOf(
  disk: Disk,
  { name, pid, isRunning }: DemoChild,
  dataDir: string,
): Promise<string> {
  const figures = isRunning ? await figuresOf(dataDir) : "it does not run";
  return `${name} (pid ${pid}): ${figures}\n${await endOfLog(disk, join(dataDir, "log/root.log"))}`;
}

async function figuresOf(dataDir: string): Promise<string> {
  try {
    return (await adminGet(join(dataDir, "admin.sock"), "/stats", ADMIN_MS)).body;
  } catch (error) {
    return (error as Error).message;
  }
}

async function endOfLog(disk: Disk, path: string): Promise<string> {
  try {
    const text = Buffer.from(await endOfFile(disk, path, LOG_BYTES)).toString();
    const lines = text.trimEnd().split("\n").slice(-LOG_LINES);
    return lines.map((line) => `  ${line}`).join("\n");
  } catch (error) {
    return `  ${(error as Error).message}`;
  }
}
