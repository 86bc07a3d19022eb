/** Compiles the store's C files for tests: with sanitizers, or changed on purpose. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
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
    "request-figures",
    "slab",
    "store",
    "store-ffi",
    "table",
    "tcm",
    "tcm-ffi",
    "tcm-lines",
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

/** The store with one guarantee broken on purpose: in `file`, `from` (which must occur once) becomes `to`. */
export interface Mutant {
  breaks: string;
  file: string;
  from: string;
  to: string;
}

/** `objects` of storeSources with those that the mutant changes compiled anew, in `directory`. */
export async function mutate(mutant: Mutant, objects: string[], directory: string): Promise<string[]> {
  mkdirSync(directory);
  const isHeader = mutant.file.endsWith(".h");
  const changed = storeSources.filter((source) => isHeader || basename(source) === mutant.file);
  const headers = [...new Bun.Glob("*.h").scanSync({ cwd: native })];
  for (const name of [...headers, ...changed.map((source) => basename(source))]) {
    cpSync(join(native, name), join(directory, name));
  }
  const original = readFileSync(join(native, mutant.file), "utf8");
  if (original.split(mutant.from).length !== 2)
    throw new Error(`${mutant.file} does not have \`${mutant.from}\` once`);
  writeFileSync(
    join(directory, mutant.file),
    original.replace(mutant.from, () => mutant.to),
  );
  const sources = changed.map((source) => join(directory, basename(source)));
  const rebuilt = await compileObjects(sources, ["-O1", "-w"], directory);
  return objects.map((object) => rebuilt.find((other) => basename(other) === basename(object)) ?? object);
}
