/** C tests of native/volume and native/nbd under ASan and UBSan: the painted model, the fuzz corpus, and mutants. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { corpusOf, SanitizedModules, sourcesOf } from "./sanitized.ts";

const modules = new SanitizedModules([...["volume", "nbd", "blocks"].flatMap(sourcesOf), "buffer.c", "nx.c"]);

beforeAll(() => modules.compile(), 180_000);
afterAll(() => modules.remove());

test("native/test/test-volume.c passes under ASan and UBSan", async () => {
  expect(await modules.tap("test/test-volume.c")).toEqual({ code: 0, failed: null, count: 7 });
}, 180_000);

test("the corpus of native/fuzz/nbd.c passes", async () => {
  const corpus = corpusOf("nbd");
  const { code, output } = await modules.run("fuzz/nbd.c", corpus);
  expect({ code, output }).toEqual({ code: 0, output: `${corpus.length} inputs\n` });
}, 180_000);

test.each([
  ["the log passes what is still needed", "volume/packs.c", "if (fits) return packs->next + physical + 1 <= packs->limit;", "if (fits) return true;"],
  ["a record lies across the ring's end", "volume/packs.c", "physical <= before_end &&", ""],
  ["a single block before the ring's end is left", "volume/packs.c", "if (has_padding) append(", "if (false) append("],
  ["an overwritten block keeps its old place", "volume/overlay.c", "entry->place[address % 8] = position;", "if (entry->place[address % 8] == NX_OVERLAY_NONE) entry->place[address % 8] = position;"],
  ["memory that is lent is used by others", "volume/packs.c", "spare->state = NX_BATCH_LENT;", ""],
  ["a write beyond the end is taken", "nbd/transmission.c", "request->length > nbd->export_bytes - request->offset)", "false)"],
  ["reads are answered without a limit", "nbd/transmission.c", "if (nbd->out.length > OUT_MAX) {", "if (false) {"],
])("turns red when %s", async (_breaks, file, from, to) => {
  expect(await modules.notices([file, from, to], "test/test-volume.c")).toBe(true);
}, 180_000); // prettier-ignore
