/** C tests of native/blocks under ASan and UBSan: the painted models, the fuzz corpus, and mutants that these catch. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { corpusOf, SanitizedModules, sourcesOf } from "./sanitized.ts";

const modules = new SanitizedModules([...sourcesOf("blocks"), "buffer.c", "nx.c"]);

beforeAll(() => modules.compile(), 180_000);
afterAll(() => modules.remove());

test("native/test/test-blocks.c passes under ASan and UBSan", async () => {
  expect(await modules.tap("test/test-blocks.c")).toEqual({ code: 0, failed: null, count: 7 });
}, 180_000);

test("the corpus of native/fuzz/blocks.c passes", async () => {
  const corpus = corpusOf("blocks");
  const { code, output } = await modules.run("fuzz/blocks.c", corpus);
  expect({ code, output }).toEqual({ code: 0, output: `${corpus.length} inputs\n` });
}, 180_000);

test.each([
  ["a later write does not cut an earlier one", "pieces.c", "end = writes[s.order[next]].address;", ";"],
  ["the first of two inputs wins", "merge.c", "if (own <= start)", "if (own < start)"],
  [
    "stored data is not compared with its checksum",
    "merge.c",
    "!= in->record.checksum)",
    "!= in->record.checksum && false)",
  ],
  [
    "a pack header is not compared with its checksum",
    "wdiff.c",
    "if (nx_salted_checksum(header, NX_WDIFF_PACK_BYTES, 0) != 0) return -EBADMSG;",
    "",
  ],
  [
    "an index record is not compared with its checksum",
    "wdiff.c",
    "if (nx_salted_checksum(bytes, NX_WDIFF_INDEX_BYTES, 0) != 0) return -EBADMSG;",
    "",
  ],
  [
    "a piece inside an image begins at the image's start",
    "merge.c",
    "stored += skipped * NX_BLOCK_BYTES;",
    "",
  ],
])(
  "turns red when %s",
  async (_breaks, file, from, to) => {
    expect(await modules.notices([`blocks/${file}`, from, to], "test/test-blocks.c")).toBe(true);
  },
  180_000,
);

test.each([
  [
    "a sorted piece begins at its image's start",
    "log-sort.c",
    "piece->offset + piece->image_start * NX_BLOCK_BYTES",
    "piece->offset",
  ],
  ["the second batch is packed from the first one's content", "log-sort.c", "      content += bytes;\n", ""],
])(
  "the corpus turns red when %s",
  async (_breaks, file, from, to) => {
    expect(await modules.notices([`blocks/${file}`, from, to], "fuzz/blocks.c", corpusOf("blocks"))).toBe(
      true,
    );
  },
  180_000,
);
