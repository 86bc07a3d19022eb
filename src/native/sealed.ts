/**
 * Loads embedded machine code without leaving it on disk: bytes → SHA-256 check → sealed memfd → loader.
 *
 * Invariant: what the loader maps is byte for byte what was built, because the digest is compiled into the
 * program and the copy is immutable before its path is handed out. Bun's own way (a file in $TMPDIR that is
 * reused when its size fits) would execute a tampered copy and fails where the temp directory is noexec.
 * A crash leaves nothing behind: memfds die with the process, and the fallback copy has no name when it is mapped.
 */
import { dlopen, FFIType } from "bun:ffi";
import { createHash, randomBytes } from "node:crypto";
import { closeSync, openSync, readFileSync, unlinkSync, writeSync } from "node:fs";
import { NxError } from "../core/errors.ts";

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
/** Linux 6.3: asks for an executable memfd where `vm.memfd_noexec=1` would otherwise deny it. */
const MFD_EXEC = 0x10;
const F_ADD_SEALS = 1033;
const SEAL_ALL = 0b1111; // no more seals, no shrinking, no growing, no writing

/**
 * Checks `file` (an embedded asset) against its digest, then calls `load` with a path to an immutable copy.
 * The path stays valid for the life of the process. Throws NX_NATIVE_DAMAGED on a digest mismatch and
 * NX_NATIVE_UNLOADABLE with every reason when no copy can be loaded.
 */
export function loadSealed<Loaded>(
  name: string,
  file: string,
  sha256: string,
  load: (path: string) => Loaded,
): Loaded {
  const bytes = readFileSync(file);
  const actual = createHash("sha256").update(bytes).digest("hex");
  if (actual !== sha256) {
    throw new NxError(
      "NX_NATIVE_DAMAGED",
      `embedded ${name} has SHA-256 ${actual} but was built as ${sha256}`,
      {
        hint: "copy the executable to this host again and compare its checksum",
      },
    );
  }
  const reasons: string[] = [];
  for (const place of copyPlaces(name, bytes)) {
    let fd: number | undefined;
    try {
      fd = place.copy();
      return load(`/proc/self/fd/${fd}`);
    } catch (error) {
      if (error instanceof NxError) throw error;
      if (fd !== undefined) closeSync(fd);
      reasons.push(`${place.where}: ${(error as Error).message}`);
    }
  }
  throw new NxError("NX_NATIVE_UNLOADABLE", `${name} cannot be loaded (${reasons.join("; ")})`, {
    hint: "allow executable memfds (sysctl vm.memfd_noexec=0), or set RUNTIME_DIRECTORY to a directory that is not noexec; under systemd remove MemoryDenyWriteExecute=true",
  });
}

interface CopyPlace {
  where: string;
  /** Makes the copy and returns a descriptor of it. */
  copy(): number;
}

function copyPlaces(name: string, bytes: Uint8Array): CopyPlace[] {
  const directories = [
    process.env.RUNTIME_DIRECTORY,
    process.env.XDG_RUNTIME_DIR,
    "/dev/shm",
    "/run",
    "/var/tmp",
    process.cwd(),
  ];
  const places = directories
    .filter((directory) => directory !== undefined && directory !== "")
    .map((directory) => ({
      where: directory as string,
      copy: () => copyUnnamed(`${directory}/.node-x-${name}-`, bytes),
    }));
  if (process.env.NODE_X_TEST_NO_MEMFD === "1") return places;
  return [{ where: "memfd", copy: () => copyToMemfd(name, bytes) }, ...places];
}

function copyToMemfd(name: string, bytes: Uint8Array): number {
  const libc = dlopen("libc.so.6", {
    memfd_create: { args: [FFIType.cstring, FFIType.u32], returns: FFIType.i32 },
    fcntl: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  });
  const label = Buffer.from(`node-x:${name}\0`);
  let fd = libc.symbols.memfd_create(label, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  if (fd < 0) fd = libc.symbols.memfd_create(label, MFD_CLOEXEC | MFD_ALLOW_SEALING); // kernels before 6.3
  if (fd < 0) throw new Error("memfd_create is refused");
  writeAll(fd, bytes);
  if (libc.symbols.fcntl(fd, F_ADD_SEALS, SEAL_ALL) !== 0) {
    closeSync(fd);
    throw new Error("the memfd cannot be sealed");
  }
  return fd;
}

/** Where memfds cannot be executed: a private file that loses its name before it is mapped. */
function copyUnnamed(pathPrefix: string, bytes: Uint8Array): number {
  const path = `${pathPrefix}${randomBytes(8).toString("hex")}`;
  const writer = openSync(path, "wx", 0o500);
  try {
    writeAll(writer, bytes);
    return openSync(path, "r");
  } finally {
    closeSync(writer);
    unlinkSync(path);
  }
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.byteLength;) written += writeSync(fd, bytes, written);
}
