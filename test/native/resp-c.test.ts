/**
 * The Redis engine's C tests: the parser before a guard page, the fuzz corpus under ASan and UBSan, and
 * mutants that these must catch.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { cc, compileObjects, run, storeSources } from "./compile-c.ts";

const native = join(import.meta.dir, "../../native");
const respSources = readdirSync(join(native, "resp"))
  .filter((name) => name.endsWith(".c"))
  .map((name) => join(native, "resp", name));
const corpus = readdirSync(join(native, "fuzz/corpus/resp")).map((name) =>
  join(native, "fuzz/corpus/resp", name),
);
const sanitizers = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
const common = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", `-I${native}`];
const directory = mkdtempSync(join(tmpdir(), "node-x-resp-c-"));
let store: string[] = [];
let engine: string[] = [];

beforeAll(async () => {
  store = await compileObjects(storeSources, sanitizers, join(directory, "store"));
  engine = await compileObjects(respSources, sanitizers, join(directory, "resp"));
}, 120_000);
afterAll(() => rmSync(directory, { recursive: true }));

const object = (name: string) =>
  [...store, ...engine].find((path) => basename(path) === `${name}.c.o`) as string;

/** Compiles one of our sources with `from` replaced by `to`. Fails when the source has no such text. */
async function mutate(file: string, from: string, to: string): Promise<string> {
  const text = readFileSync(join(native, "resp", file), "utf8");
  expect(text.split(from)).toHaveLength(2);
  const place = join(directory, `mutant-${crypto.randomUUID()}`);
  mkdirSync(place);
  const source = join(place, file);
  await Bun.write(source, text.replace(from, to));
  const flags = [`-I${join(native, "resp")}`, ...common.filter((flag) => flag !== "-Werror")];
  await cc(...flags, ...sanitizers, "-c", source, "-o", `${source}.o`);
  return `${source}.o`;
}

async function parserTest(parser: string): Promise<{ code: number; output: string }> {
  const program = join(directory, `parser-${crypto.randomUUID()}`);
  const rest = ["number", "buffer", "nx"].map(object);
  await cc(
    ...common,
    ...sanitizers,
    join(native, "test/test-resp-parser.c"),
    parser,
    ...rest,
    "-lm",
    "-o",
    program,
  );
  return run([program]);
}

async function fuzzCorpus(objects: string[]): Promise<{ code: number; output: string }> {
  const program = join(directory, `fuzz-${crypto.randomUUID()}`);
  const source = join(native, "fuzz/resp.c");
  await cc(...common, ...sanitizers, "-DNX_FUZZ_FILES", source, ...objects, ...store, "-lm", "-o", program);
  return run([program, ...corpus]);
}

test("the parser never reads past its input, and prefixes are incomplete", async () => {
  const { code, output } = await parserTest(object("parser"));
  expect({ code, failed: output.match(/^not ok.*$/gm) }).toEqual({ code: 0, failed: null });
  expect(output).toMatch(/^1\.\.5$/m);
}, 60_000);

test("the fuzz corpus passes: whole or in pieces, the replies are the same", async () => {
  const { code, output } = await fuzzCorpus(engine);
  expect({ code, output }).toEqual({ code: 0, output: `${corpus.length} inputs\n` });
}, 60_000);

test.each([
  [
    "a bulk string taken before its line end arrived",
    "length - request->position < bulk_length + 2",
    "length - request->position < bulk_length",
  ],
  ["a header read without its last byte", "end + 1 >= bytes + length", "end >= bytes + length"],
  [
    "arguments that are not moved with their bytes",
    "request->arguments[index].data = bytes + offset",
    "(void)offset",
  ],
])(
  "the parser's tests turn red for a mutant: %s",
  async (_title, from, to) => {
    expect((await parserTest(await mutate("parser.c", from, to))).code).not.toBe(0);
  },
  60_000,
);

test.each([
  [
    "input forgotten at a stop",
    "engine.c",
    "input->start += consumed;",
    "input->start += consumed + (engine->stop != 0);",
  ],
  [
    "held input counted twice",
    "engine.c",
    "engine->input_bytes += bytes - input->bytes_counted;",
    "engine->input_bytes += bytes;",
  ],
  [
    "a stale search position",
    "parser.c",
    "    request->position = 4;\n    request->scanned = 0;",
    "    request->position = 4;",
  ],
  ["a watch that is not given back", "watch.c", "engine->watch_count--;", ""],
])(
  "the fuzz corpus turns red for a mutant: %s",
  async (_title, file, from, to) => {
    const mutant = await mutate(file, from, to);
    const objects = engine.map((path) => (basename(path) === `${file}.o` ? mutant : path));
    expect((await fuzzCorpus(objects)).code).not.toBe(0);
  },
  60_000,
);
