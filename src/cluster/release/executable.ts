/**
 * The executable that is deployed, as its operator's side sees it: its digest, its blocks, what it needs of a
 * host.
 *
 * Invariant: it is read once, so that all hosts of one deployment get the same bytes even if a build replaces
 * the file meanwhile.
 */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { NxError } from "../../core/errors.ts";
import type { Disk } from "../../core/seams/disk.ts";
import type { HostFacts } from "../agent/messages.ts";
import type { AgentExecutable } from "../ssh/connect.ts";
import { cut, encodeTable, type Block } from "./blocks.ts";
import { readWhole } from "./files.ts";

const EXECUTABLE_BYTES_MAX = 1 << 30;
const PIECE_BYTES = 1 << 20;

/** What the file's own header says it runs on. */
export interface Platform {
  /** As `uname -m` says. */
  machine: string;
  libc: "glibc" | "musl" | "static";
}

const machines: Record<number, string> = { 0x3e: "x86_64", 0xb7: "aarch64", 0xf3: "riscv64" };
const PT_INTERP = 3;

/** Reads the header of a 64-bit ELF file. Undefined when it is none. */
export function platformOf(bytes: Uint8Array): Platform | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength < 64 || view.getUint32(0, false) !== 0x7f454c46 || bytes[4] !== 2) return undefined;
  const code = view.getUint16(18, true);
  const headersAt = Number(view.getBigUint64(32, true));
  const headerBytes = view.getUint16(54, true);
  const count = view.getUint16(56, true);
  let interpreter = "";
  for (let index = 0; index < count; index++) {
    const at = headersAt + index * headerBytes;
    if (at + 56 > bytes.byteLength) return undefined;
    if (view.getUint32(at, true) !== PT_INTERP) continue;
    const offset = Number(view.getBigUint64(at + 8, true));
    const length = Number(view.getBigUint64(at + 32, true));
    if (length > 4096 || offset + length > bytes.byteLength) return undefined;
    interpreter = new TextDecoder().decode(bytes.subarray(offset, offset + length));
  }
  const libc = interpreter === "" ? "static" : interpreter.includes("musl") ? "musl" : "glibc";
  return { machine: machines[code] ?? `machine ${code}`, libc };
}

/** Why a program for `platform` cannot run on such a host; undefined when it can. */
export function whyUnfit(platform: Platform, host: { machine: string; libc: string }): string | undefined {
  if (platform.machine !== host.machine) {
    return `it is built for ${platform.machine}, the host is ${host.machine}`;
  }
  if (platform.libc !== "static" && host.libc !== "unknown" && platform.libc !== host.libc) {
    return `it is built for ${platform.libc}, the host has ${host.libc}`;
  }
  return undefined;
}

export class Executable implements AgentExecutable {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly sha256: string;
  readonly platform: Platform;
  readonly copies: AgentExecutable["copies"] = new Map();
  #blocks: Block[] | undefined;
  #table: Uint8Array | undefined;
  #gzip: readonly Uint8Array[] | undefined;

  private constructor(path: string, bytes: Uint8Array, platform: Platform) {
    this.path = path;
    this.bytes = bytes;
    this.platform = platform;
    this.sha256 = createHash("sha256").update(bytes).digest("hex");
  }

  /** Throws NX_EXECUTABLE_UNFIT when the file is no program for Linux. */
  static async read(disk: Disk, path: string): Promise<Executable> {
    const bytes = await readWhole(disk, path, EXECUTABLE_BYTES_MAX);
    const platform = platformOf(bytes);
    if (platform !== undefined) return new Executable(path, bytes, platform);
    throw new NxError("NX_EXECUTABLE_UNFIT", `${path} is no executable for 64-bit Linux`, {
      hint: "`bun run build` makes dist/node-x; DIAMOND_SRC_DIR names the checkout that it is taken from",
    });
  }

  get blocks(): Block[] {
    return (this.#blocks ??= cut(this.bytes));
  }

  get table(): Uint8Array {
    return (this.#table ??= encodeTable(this.blocks));
  }

  get plain(): readonly Uint8Array[] {
    return piecesOf(this.bytes);
  }

  /** Fast rather than small: it is sent once to a host that has nothing yet. All hosts of a deploy get the same. */
  get gzip(): readonly Uint8Array[] {
    return (this.#gzip ??= piecesOf(gzipSync(this.bytes, { level: 1 })));
  }

  whyUnfit(machine: string, libc: string): string | undefined {
    return whyUnfit(this.platform, { machine, libc });
  }

  /** Throws NX_EXECUTABLE_UNFIT with the reason. */
  assertFits(host: string, facts: Pick<HostFacts, "machine" | "libc">): void {
    const reason = this.whyUnfit(facts.machine, facts.libc);
    if (reason === undefined) return;
    throw new NxError("NX_EXECUTABLE_UNFIT", `${host}: the executable cannot run there: ${reason}`, {
      hint: "build node-x for this processor and C library and name it with DIAMOND_SRC_DIR or --executable",
    });
  }
}

function piecesOf(bytes: Uint8Array): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.byteLength / PIECE_BYTES) }, (_, index) =>
    bytes.subarray(index * PIECE_BYTES, (index + 1) * PIECE_BYTES),
  );
}
