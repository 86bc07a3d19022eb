/**
 * The Redis engine's C tests: the parser before a guard page, the fuzz corpus under ASan and UBSan, and
 * mutants that these must catch.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { corpusOf, SanitizedModules, sourcesOf, storeFiles } from "./sanitized.ts";

const modules = new SanitizedModules([...storeFiles, ...sourcesOf("resp")]);
const corpus = corpusOf("resp");

beforeAll(() => modules.compile(), 180_000);
afterAll(() => modules.remove());

test("the parser never reads past its input, and prefixes are incomplete", async () => {
  expect(await modules.tap("test/test-resp-parser.c")).toEqual({ code: 0, failed: null, count: 5 });
}, 180_000);

test("the fuzz corpus passes: whole or in pieces, the replies are the same", async () => {
  const { code, output } = await modules.run("fuzz/resp.c", corpus);
  expect({ code, output }).toEqual({ code: 0, output: `${corpus.length} inputs\n` });
}, 180_000);

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
    expect(await modules.notices(["resp/parser.c", from, to], "test/test-resp-parser.c")).toBe(true);
  },
  180_000,
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
    expect(await modules.notices([`resp/${file}`, from, to], "fuzz/resp.c", corpus)).toBe(true);
  },
  180_000,
);
