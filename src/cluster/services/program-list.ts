/**
 * `run/programs.json`: what a deployment's supervisor keeps, and which of it shall run.
 *
 * Written before anything is started or after it was stopped, so a supervisor that starts again (after a reboot, a
 * crash) continues with what was wanted. A crash in between leaves the old list or the new one.
 */
import { join } from "node:path";
import { z } from "zod";
import { NxError } from "../../core/errors.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { writeFileAtomically } from "../../core/seams/durable-files.ts";
import { serviceSpec } from "../agent/messages.ts";
import type { DeploymentPaths } from "../topology/layout.ts";
import type { ServiceSpec } from "./services.ts";

export interface ListedProgram {
  spec: ServiceSpec;
  /** Somebody started it and nobody stopped it. */
  isWanted: boolean;
}

const listSchema = z.array(z.object({ spec: serviceSpec, isWanted: z.boolean() }));

const BYTES_MAX = 16 * 1024 * 1024;

/** Throws NX_DATA_CORRUPT when the file is not one of ours. */
export async function readProgramList(disk: Disk, paths: DeploymentPaths): Promise<ListedProgram[]> {
  const path = listFile(paths);
  if (!(await disk.exists(path))) return [];
  const text = await readText(disk, path, BYTES_MAX);
  try {
    return listSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new NxError("NX_DATA_CORRUPT", `${path} is not a list of programs: ${(error as Error).message}`, {
      hint: "remove it; the next start of the prefix writes it again",
      cause: error,
    });
  }
}

/** The last `bytesMax` bytes of a file. */
export async function readText(disk: Disk, path: string, bytesMax: number): Promise<string> {
  const file = await disk.open(path, "read");
  try {
    const size = await file.size();
    const bytes = new Uint8Array(Math.min(bytesMax, size));
    const count = await file.read(bytes, size - bytes.byteLength);
    return new TextDecoder().decode(bytes.subarray(0, count));
  } finally {
    await file.close();
  }
}

export async function writeProgramList(
  disk: Disk,
  paths: DeploymentPaths,
  programs: readonly ListedProgram[],
): Promise<void> {
  await writeFileAtomically(disk, listFile(paths), `${JSON.stringify(programs, null, 1)}\n`);
}

const listFile = (paths: DeploymentPaths) => join(paths.run, "programs.json");
