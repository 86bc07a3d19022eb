/**
 * An executable on its way to a host: put together from blocks that are here and blocks that are sent.
 *
 * Invariant: the file under its final name has the SHA-256 that the name says, was synced, and passed its
 * self-test on this host. Until then it is `<sha256>.part`; a crash or a lost connection leaves that, and the
 * next attempt finds in it the blocks that had arrived. Files here are of no release yet: nothing runs from
 * them.
 */
import { constants as zlib, zstdDecompressSync } from "node:zlib";
import { basename, dirname, join } from "node:path";
import { NxError } from "../../core/errors.ts";
import type { CheckedExecutable } from "../agent/messages.ts";
import type { DiskFile, LinkingDisk } from "../../core/seams/disk.ts";
import { makeDurableDirectory, writeFileAtomically } from "../../core/seams/durable-files.ts";
import { cut, decodeTable, digestOf, encodeBitmap, encodeTable, type Block } from "./blocks.ts";
import { readWhole, removeIfAny, sha256OfFile } from "./files.ts";

const EXECUTABLE_BYTES_MAX = 1 << 30;
const COPY_BYTES_MAX = 8 << 20;
/** One message's worth of blocks, before compression. */
export const BATCH_BYTES_MAX = 4 << 20;
/** Executables whose blocks are looked at: the newest few have nearly everything. */
const BASES_MAX = 3;

/** Runs a program to its end, in a clean environment. */
export type RunProgram = (words: readonly string[]) => Promise<{ status: number | string; output: string }>;

export interface IncomingOptions {
  disk: LinkingDisk;
  directory: string;
  run: RunProgram;
  /** Executables that are here, the likeliest first. */
  bases(): Promise<string[]>;
  /** The program that this process runs, if it is one. */
  ownExecutable: string | undefined;
  /** Tables of blocks are only written below it. */
  ownPlace: string;
}

interface Arriving {
  blocks: Block[];
  missing: number[];
}

/** Where the bytes of a block can be read. */
interface Source {
  path: string;
  offset: number;
}

export class Incoming {
  readonly #options: IncomingOptions;
  readonly #arriving = new Map<string, Arriving>();
  /** Tables of executables that are here under other names, by SHA-256. */
  readonly #remembered = new Map<string, Uint8Array>();

  constructor(options: IncomingOptions) {
    this.#options = options;
  }

  pathOf(sha256: string): string {
    return join(this.#options.directory, sha256);
  }

  /** Keeps the table of an executable that need not be sent, so that nobody has to cut it later. Throws NX_AGENT_PROTOCOL. */
  remember(sha256: string, bytes: number, table: Uint8Array): void {
    decodeTable(table, bytes);
    this.#remembered.set(sha256, table);
  }

  /** The table of an executable, if this agent was told it. */
  tableOf(sha256: string): Uint8Array | undefined {
    return this.#remembered.get(sha256);
  }

  /** Puts together what is here; returns which blocks must be sent. */
  async have(sha256: string, bytes: number, table: Uint8Array) {
    const { disk, directory } = this.#options;
    if (bytes > EXECUTABLE_BYTES_MAX) {
      throw new NxError("NX_AGENT_PROTOCOL", `an executable of ${bytes} bytes`);
    }
    const blocks = decodeTable(table, bytes);
    if (await disk.exists(this.pathOf(sha256))) {
      return { missing: 0, missingBytes: 0, isComplete: true, bitmap: encodeBitmap(blocks.length, []) };
    }
    await makeDurableDirectory(disk, directory);
    await this.#sweep(sha256);
    const part = await disk.open(`${this.pathOf(sha256)}.part`, "create");
    try {
      await this.#assertSpace(bytes - (await part.size()));
      const sources = (await this.#own(sha256, blocks)) ?? (await this.#sources());
      const absent = await copyPresent(disk, part, blocks, sources);
      const missing = await stillMissing(part, blocks, absent);
      this.#arriving.set(sha256, { blocks, missing });
      const missingBytes = missing.reduce((sum, index) => sum + (blocks[index] as Block).bytes, 0);
      const bitmap = encodeBitmap(blocks.length, missing);
      return { missing: missing.length, missingBytes, isComplete: false, bitmap };
    } finally {
      await part.close();
    }
  }

  /** What another attempt left: under the lock nobody else is at it, and it would take space for ever. */
  async #sweep(kept: string): Promise<void> {
    const { disk, directory } = this.#options;
    for (const { name } of await disk.list(directory)) {
      if (kept === "" || !name.startsWith(kept)) await removeIfAny(disk, join(directory, name));
    }
  }

  async #assertSpace(bytes: number): Promise<void> {
    const { freeBytes } = await this.#options.disk.space(this.#options.directory);
    if (freeBytes >= bytes) return;
    const mib = (count: number) => `${Math.ceil(count / (1 << 20))} MiB`;
    throw new NxError(
      "NX_DISK_FULL",
      `${this.#options.directory}: a release needs ${mib(bytes)}, ${mib(freeBytes)} are free`,
      { hint: "free space there; the release in use was not touched" },
    );
  }

  /** `batch`: zstd of the missing blocks from the `first` one on. */
  async put(sha256: string, batch: { first: number; blocks: number; rawBytes: number }, zstd: Uint8Array) {
    const { blocks, missing } = this.#arrivingOf(sha256);
    const wanted = missing
      .slice(batch.first, batch.first + batch.blocks)
      .map((index) => blocks[index] as Block);
    const wantedBytes = wanted.reduce((sum, block) => sum + block.bytes, 0);
    if (wanted.length !== batch.blocks || wantedBytes !== batch.rawBytes || wantedBytes > BATCH_BYTES_MAX) {
      throw new NxError("NX_AGENT_PROTOCOL", "blocks came that are not those that were asked for");
    }
    const raw = inflate(zstd, wantedBytes);
    const part = await this.#options.disk.open(`${this.pathOf(sha256)}.part`, "readWrite");
    try {
      let at = 0;
      for (const { offset, bytes, digest } of wanted) {
        const block = raw.subarray(at, at + bytes);
        if (digestOf(block) !== digest) throw damaged("a block does not have its digest");
        await part.write(block, offset);
        at += bytes;
      }
    } finally {
      await part.close();
    }
  }

  /** Checks, syncs, names and tries the executable; returns what its self-test said. */
  async finish(sha256: string): Promise<string[]> {
    const { disk, directory, run } = this.#options;
    const path = this.pathOf(sha256);
    if (!(await disk.exists(path))) {
      const { blocks } = this.#arrivingOf(sha256);
      await this.#seal(`${path}.part`, sha256);
      await writeFileAtomically(disk, blocksFileOf(path), encodeTable(blocks));
      await disk.rename(`${path}.part`, path);
      await disk.syncDirectory(directory);
    }
    const { status, output } = await run([path, "selftest"]);
    if (status === 0) return output.trim().split("\n");
    await removeIfAny(disk, path);
    throw new NxError("NX_EXECUTABLE_UNFIT", `the executable cannot run here: ${whyUnfit(status, output)}`, {
      hint: "nothing was replaced; build node-x for this processor and C library",
    });
  }

  /**
   * Takes a file that another deployment on this machine has checked and tried. False when it cannot be linked here
   * (another file system), or is not that very file any more.
   */
  async adopt(sha256: string, { path, mark }: CheckedExecutable): Promise<boolean> {
    const { disk, directory } = this.#options;
    await makeDurableDirectory(disk, directory);
    await this.#sweep("");
    const adopting = `${this.pathOf(sha256)}.adopting`;
    try {
      await disk.link(path, adopting);
      if (await disk.exists(blocksFileOf(path)))
        await disk.link(blocksFileOf(path), blocksFileOf(this.pathOf(sha256)));
    } catch {
      return false; // the next attempt sweeps
    }
    // Looked at under its new name: what it is called elsewhere may change at any time.
    if ((await disk.fileMark(adopting)) !== mark) return false;
    await disk.rename(adopting, this.pathOf(sha256));
    await disk.syncDirectory(directory);
    return true;
  }

  async #seal(part: string, sha256: string): Promise<void> {
    const { disk } = this.#options;
    const file = await disk.open(part, "readWrite");
    try {
      await disk.setMode(part, 0o755);
      await file.sync();
    } finally {
      await file.close();
    }
    if ((await sha256OfFile(disk, part)) === sha256) return;
    // A table of blocks beside some base lies: all are thrown away, so that the next attempt cuts afresh.
    await removeIfAny(disk, part);
    for (const base of await this.#options.bases()) await removeIfAny(disk, blocksFileOf(base));
    throw damaged("the executable does not have the SHA-256 that was announced");
  }

  #arrivingOf(sha256: string): Arriving {
    const arriving = this.#arriving.get(sha256);
    if (arriving !== undefined) return arriving;
    throw new NxError("NX_AGENT_PROTOCOL", `nobody announced the executable ${sha256}`);
  }

  /** All blocks, if the program that this process runs is the wanted one: comparing costs less than cutting. */
  async #own(sha256: string, blocks: readonly Block[]): Promise<Map<string, Source> | undefined> {
    const { disk, ownExecutable: path } = this.#options;
    if (path === undefined || (await sha256OfFile(disk, path)) !== sha256) return undefined;
    return new Map(blocks.map(({ digest, offset }) => [digest, { path, offset }]));
  }

  /** Every block of the executables that are here. */
  async #sources(): Promise<Map<string, Source>> {
    const sources = new Map<string, Source>();
    for (const path of (await this.#options.bases()).slice(0, BASES_MAX)) {
      for (const { digest, offset } of await this.#blocksOf(path)) {
        if (!sources.has(digest)) sources.set(digest, { path, offset });
      }
    }
    return sources;
  }

  /** The blocks of a file, from the table beside it where there is one. */
  async #blocksOf(path: string): Promise<Block[]> {
    const { disk } = this.#options;
    const file = await disk.open(path, "read");
    const size = await file.size().finally(() => file.close());
    const known = blocksFileOf(path);
    if (await disk.exists(known)) {
      try {
        return decodeTable(await readWhole(disk, known, EXECUTABLE_BYTES_MAX), size);
      } catch {
        // Not a table of this file: cut it instead.
      }
    }
    const blocks = cut(await readWhole(disk, path, EXECUTABLE_BYTES_MAX));
    // Only to spare the next time; not beside files of others, such as the operator's own executable.
    if (path.startsWith(`${this.#options.ownPlace}/`)) {
      await writeFileAtomically(disk, known, encodeTable(blocks)).catch(() => undefined);
    }
    return blocks;
  }
}

/** The table of an executable's blocks lies beside it. */
export function blocksFileOf(path: string): string {
  return join(dirname(path), `${basename(path)}.blocks`);
}

/** Copies what the sources have, neighbours at once; returns the blocks that none has. */
async function copyPresent(
  disk: LinkingDisk,
  part: DiskFile,
  blocks: readonly Block[],
  sources: Map<string, Source>,
): Promise<number[]> {
  const absent: number[] = [];
  const open = new Map<string, DiskFile>();
  const buffer = new Uint8Array(new ArrayBuffer(COPY_BYTES_MAX));
  let run: { path: string; from: number; to: number; bytes: number } | undefined;
  const flush = async () => {
    if (run === undefined) return;
    const file = open.get(run.path) ?? (await disk.open(run.path, "read"));
    open.set(run.path, file);
    const count = await file.read(buffer.subarray(0, run.bytes), run.from);
    await part.write(buffer.subarray(0, count), run.to);
    run = undefined;
  };
  try {
    for (const [index, { offset, bytes, digest }] of blocks.entries()) {
      const source = sources.get(digest);
      if (source === undefined) {
        absent.push(index);
        continue;
      }
      const isNext =
        run !== undefined &&
        run.path === source.path &&
        run.from + run.bytes === source.offset &&
        run.to + run.bytes === offset &&
        run.bytes + bytes <= COPY_BYTES_MAX;
      if (!isNext) await flush();
      run ??= { path: source.path, from: source.offset, to: offset, bytes: 0 };
      run.bytes += bytes;
    }
    await flush();
  } finally {
    for (const file of open.values()) await file.close();
  }
  return absent;
}

/** An earlier attempt may have brought some already. */
async function stillMissing(part: DiskFile, blocks: readonly Block[], absent: readonly number[]) {
  const missing: number[] = [];
  const buffer = new Uint8Array(new ArrayBuffer(1 << 16));
  for (const index of absent) {
    const { offset, bytes, digest } = blocks[index] as Block;
    const count = await part.read(buffer.subarray(0, bytes), offset);
    if (count < bytes || digestOf(buffer.subarray(0, bytes)) !== digest) missing.push(index);
  }
  return missing;
}

/** Never makes more than it was told to expect. */
function inflate(zstd: Uint8Array, rawBytes: number): Uint8Array {
  try {
    const raw = zstdDecompressSync(zstd, {
      maxOutputLength: Math.max(1, rawBytes),
      params: { [zlib.ZSTD_d_windowLogMax]: 27 },
    });
    if (raw.byteLength === rawBytes) return raw;
  } catch {
    // Said below.
  }
  throw damaged("blocks do not unpack to what was announced");
}

function damaged(why: string): NxError {
  return new NxError("NX_UPLOAD_DAMAGED", why, { hint: "deploy again: only what is missing is sent" });
}

function whyUnfit(status: number | string, output: string): string {
  if (status === "SIGILL") return "this processor lacks instructions that it was built for (AVX2, usually)";
  const last = output.trim().split("\n").at(-1) ?? "";
  return `its self-test ended with ${status}${last === "" ? "" : `: ${last}`}`;
}
