/**
 * What a tool reads and writes: files by name, standard input and output as `-`.
 *
 * Invariant: an output file has its name only when it is complete and synced; devices and pipes are written in place.
 */
import { basename, dirname, join, resolve } from "node:path";
import { NxError } from "../../core/errors.ts";
import type { World } from "../../core/role.ts";
import type { DiskFile } from "../../core/seams/disk.ts";
import type { Surroundings } from "../../core/verb.ts";
import {
  type ByteSink,
  type ByteSource,
  chunksOf,
  FileSink,
  fileSource,
  pipeSource,
} from "../formats/bytes.ts";

export type ToolWorld = Pick<World, "disk" | "random" | "clock">;

async function* nothing(): AsyncGenerator<Uint8Array> {}

/** The files of one call; `close` them. */
export class ToolFiles {
  readonly world: ToolWorld;
  readonly #call: Surroundings;
  readonly #open: DiskFile[] = [];

  constructor(world: ToolWorld, call: Surroundings) {
    this.world = world;
    this.#call = call;
  }

  /** Where data goes that must be sorted and does not fit into memory. */
  get spoolDirectory(): string {
    return this.#call.environment.TMPDIR ?? "/tmp";
  }

  path(name: string): string {
    return resolve(this.#call.workingDirectory, name);
  }

  async open(name: string, mode: "read" | "readWrite"): Promise<DiskFile> {
    const path = this.path(name);
    try {
      const file = await this.world.disk.open(path, mode);
      this.#open.push(file);
      return file;
    } catch (error) {
      if ((error as { code?: string }).code !== "ENOENT") throw error;
      throw new NxError("NX_USAGE", `open failed: ${path}: there is no such file`);
    }
  }

  /** By position; standard input from front to back. */
  async source(name: string): Promise<ByteSource> {
    if (name === "-") return pipeSource("standard input", this.#call.stdin?.() ?? nothing());
    const file = await this.open(name, "read");
    return fileSource(name, file, await file.size());
  }

  /** From front to back. */
  async stream(name: string): Promise<AsyncIterable<Uint8Array>> {
    return name === "-" ? (this.#call.stdin?.() ?? nothing()) : chunksOf(await this.source(name));
  }

  /** An image or device that exists, to be written in place. */
  async image(name: string): Promise<{ file: DiskFile; blocks: number }> {
    const file = await this.open(name, "readWrite");
    return { file, blocks: Math.floor((await file.size()) / 512) };
  }

  /** Runs `write` with the output `name`. */
  async writeTo<Result>(name: string, write: (sink: ByteSink) => Promise<Result>): Promise<Result> {
    if (name === "-") return await write(standardOutput(this.#call));
    const path = this.path(name);
    const { disk } = this.world;
    const directory = dirname(path);
    const entries = await disk.list(directory);
    const isSpecial = entries.some((entry) => entry.name === basename(path) && entry.kind !== "file");
    if (isSpecial) return await write(new FileSink(await this.open(path, "readWrite")));
    const temporary = join(directory, `.${basename(path)}.part`);
    const file = await disk.open(temporary, "create");
    try {
      await file.truncate(0);
      const result = await write(new FileSink(file));
      await file.sync();
      await disk.rename(temporary, path);
      await disk.syncDirectory(directory);
      return result;
    } catch (error) {
      await disk.remove(temporary);
      throw error;
    } finally {
      await file.close();
    }
  }

  async close(): Promise<void> {
    for (const file of this.#open.splice(0)) await file.close();
  }
}

function standardOutput({ stdout }: Surroundings): ByteSink {
  if (stdout.writeBytes === undefined)
    throw new NxError("NX_USAGE", "there is no standard output for bytes here");
  return { append: async (bytes) => stdout.writeBytes?.(bytes) };
}

/** Runs a tool over its files and closes them, whatever happens. */
export async function withFiles<Result>(
  call: Surroundings,
  work: (files: ToolFiles) => Promise<Result>,
): Promise<Result> {
  const { realWorld } = await import("../../core/seams/world-real.ts");
  const files = new ToolFiles(realWorld(), call);
  try {
    return await work(files);
  } finally {
    await files.close();
  }
}
