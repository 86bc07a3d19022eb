/**
 * Compiles our C files for tests: with sanitizers, or changed on purpose.
 *
 * Invariant: what is compiled of an unchanged source is kept in dist/test-objects under a digest of all that it is made
 * of, and the test files that need it with the same flags share it. A file appears there under its name when it is whole.
 */
import { createHash } from "node:crypto";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, join, relative } from "node:path";

export const native = join(import.meta.dir, "../../native");
const kept = join(import.meta.dir, "../../dist/test-objects");

export const sanitizers = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

/** The store and what it stands on, without the protocol engines. */
export const storeSources = [
  ...[
    "buffer",
    "channel",
    "crc32c",
    "effects",
    "event-lines",
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

/** Everything that an object of native/ may depend on, but for its own source and flags. */
function digestOfHeaders(): string {
  const hash = createHash("sha256").update(Bun.spawnSync(["cc", "--version"]).stdout);
  for (const name of [...new Bun.Glob("**/*.{h,inc}").scanSync({ cwd: native })].sort())
    hash.update(name).update(readFileSync(join(native, name)));
  return hash.digest("hex");
}

/** Puts the object of a source of native/ at `object`, compiled or kept from before. */
async function compileKept(source: string, flags: string[], headers: string, object: string): Promise<void> {
  const path = relative(native, source);
  const name = `${path.replaceAll("/", "-")}-${Bun.hash(flags.join("\0")).toString(16)}`;
  const digest = createHash("sha256").update(headers).update(readFileSync(source)).digest("hex");
  const file = join(kept, `${name}-${digest.slice(0, 32)}.o`);
  if (!existsSync(file)) {
    const unfinished = `${file}.${crypto.randomUUID()}`;
    await cc(...flags, "-c", source, "-o", unfinished);
    renameSync(unfinished, file);
    // Another process may have made the same one meanwhile; what is out of date goes.
    for (const other of readdirSync(kept))
      if (other.startsWith(`${name}-`) && other.endsWith(".o") && other !== basename(file))
        rmSync(join(kept, other), { force: true });
  }
  copyFileSync(file, object);
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
  mkdirSync(kept, { recursive: true });
  const headers = digestOfHeaders();
  const objects = sources.map((source) => join(directory, `${basename(source)}.o`));
  let next = 0;
  const worker = async () => {
    while (next < sources.length) {
      const index = next++;
      const [source, object] = [sources[index] as string, objects[index] as string];
      if (source.startsWith(`${native}/`))
        await compileKept(source, [...commonFlags, ...flags], headers, object);
      else await cc(...commonFlags, ...flags, "-c", source, "-o", object);
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

/**
 * Whether a program made of a source that was broken on purpose ends as one that found something. It stops at its first
 * failure; one that a break keeps from ending is stopped by the processor time that it takes, or waits in vain.
 */
export async function turnsRed(...command: readonly string[]): Promise<boolean> {
  const limits = ["timeout", "60", "prlimit", "--cpu=4"];
  return (await run(["env", "TAP_STOPS=1", ...limits, ...command])).code !== 0;
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
