/** Compiles the store's C files for tests: with sanitizers, or changed on purpose. */
import { mkdirSync } from "node:fs";
import { basename, join } from "node:path";

const native = join(import.meta.dir, "../../native");

/** The store and what it stands on, without the protocol engines. */
export const storeSources = [
  ...[
    "buffer",
    "channel",
    "crc32c",
    "effects",
    "expiry",
    "nx",
    "paged",
    "slab",
    "store",
    "store-ffi",
    "table",
  ],
].map((name) => join(native, `${name}.c`));

const commonFlags = [
  "-std=c11",
  "-fPIC",
  "-fno-strict-aliasing",
  "-Wall",
  "-Wextra",
  "-Werror",
  "-Wshadow",
  "-Wconversion",
  "-D_GNU_SOURCE",
  `-I${native}`,
];

export async function cc(...args: string[]): Promise<void> {
  const child = Bun.spawn(["nice", "cc", ...args], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const errors = await new Response(child.stderr).text();
  if ((await child.exited) !== 0) throw new Error(`cc ${args.join(" ")} failed:\n${errors}`);
}

/**
 * Compiles each source to an object in `directory`, two at a time; returns the objects in the order of the
 * sources.
 */
export async function compileObjects(
  sources: string[],
  flags: string[],
  directory: string,
): Promise<string[]> {
  mkdirSync(directory, { recursive: true });
  const objects = sources.map((source) => join(directory, `${basename(source)}.o`));
  let next = 0;
  const worker = async () => {
    while (next < sources.length) {
      const index = next++;
      await cc(...commonFlags, ...flags, "-c", sources[index] as string, "-o", objects[index] as string);
    }
  };
  await Promise.all([worker(), worker()]);
  return objects;
}

export async function run(command: string[]): Promise<{ code: number; output: string }> {
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, output: stdout + stderr };
}
