/**
 * C tests of LZO1X and of the legacy protocol's engine: the codec before guard pages, the fuzz corpora under ASan and
 * UBSan, and mutants that these must catch.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { corpusOf, SanitizedModules, sourcesOf, storeFiles } from "./sanitized.ts";

const modules = new SanitizedModules([...storeFiles, "lzo.c", ...sourcesOf("legacy")]);

beforeAll(() => modules.compile(), 180_000);
afterAll(() => modules.remove());

test("native/test/test-lzo.c passes under ASan and UBSan", async () => {
  expect(await modules.tap("test/test-lzo.c")).toEqual({ code: 0, failed: null, count: 5 });
}, 180_000);

test.each(["lzo", "legacy"])(
  "the corpus of native/fuzz/%s.c passes",
  async (name) => {
    const corpus = corpusOf(name);
    const { code, output } = await modules.run(`fuzz/${name}.c`, corpus);
    expect({ code, output }).toEqual({ code: 0, output: `${corpus.length} inputs\n` });
  },
  180_000,
);

const mutants: [breaks: string, file: string, from: string, to: string, program: string, corpus: string][] = [
  [
    "a match may reach before the content",
    "lzo.c",
    "(uint64_t)(d->out - d->start) < distance || ",
    "",
    "test/test-lzo.c",
    "",
  ],
  [
    "a match may run past the buffer",
    "lzo.c",
    "< distance || (uint64_t)(d->limit - d->out) < length) return false;",
    "< distance) return false;",
    "test/test-lzo.c",
    "",
  ],
  [
    "literals are not counted against the input",
    "lzo.c",
    "(uint64_t)(d->end - d->at) < length || ",
    "",
    "test/test-lzo.c",
    "",
  ],
  [
    "bytes behind the end are taken for part of the stream",
    "lzo.c",
    "return d.at == d.end ? d.out - d.start : -EBADMSG;",
    "return d.out - d.start - (d.at == d.end);",
    "test/test-lzo.c",
    "",
  ],
  [
    "a match reaches one byte too far",
    "lzo.c",
    "#define DISTANCE_MAX 49151u",
    "#define DISTANCE_MAX 49152u",
    "test/test-lzo.c",
    "",
  ],
  [
    "an array's length is not checked",
    "legacy/request.c",
    "if (r->length - r->at < size) return NX_LEGACY_INCOMPLETE;",
    "",
    "fuzz/legacy.c",
    "legacy",
  ],
  [
    "input forgotten at a stop",
    "legacy/engine.c",
    "nx_kept_settle(&connection->input, consumed,",
    "nx_kept_settle(&connection->input, consumed + (connection->bulk != NULL),",
    "fuzz/legacy.c",
    "legacy",
  ],
  [
    "a field of a batch may end behind it",
    "legacy/batch.c",
    "if (content->length - *at - 8 < length) return false;",
    "",
    "fuzz/legacy.c",
    "legacy",
  ],
  [
    "a listener that leaves stays in its channel's list",
    "legacy/listen.c",
    "  unlink_from_channel(connection->listener);\n",
    "",
    "fuzz/legacy.c",
    "legacy",
  ],
  [
    "a removed channel is remembered",
    "legacy/listen.c",
    "if (engine->channel == channel) engine->channel = NULL;",
    "",
    "fuzz/legacy.c",
    "legacy",
  ],
];

test.each(mutants)(
  "turns red when %s",
  async (_breaks, file, from, to, program, corpus) => {
    const args = corpus === "" ? [] : corpusOf(corpus);
    expect(await modules.notices([file, from, to], program, args)).toBe(true);
  },
  180_000,
);

test("the store's scan test turns red when a merged bucket is met again", async () => {
  const mutant = ["table.c", "if (index_of(table, cursor) == cursor) return", "return"] as const;
  expect(await modules.notices(mutant, "test/test-store.c")).toBe(true);
}, 180_000);
