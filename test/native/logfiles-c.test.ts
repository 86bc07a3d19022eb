/**
 * The C modules of the logfiles node: their fuzz corpus under ASan and UBSan, and mutants that it must catch.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { corpusOf, SanitizedModules, sourcesOf, storeFiles } from "./sanitized.ts";

const own = sourcesOf("logfiles").filter((path) => path !== "logfiles/ffi.c");
const modules = new SanitizedModules([...storeFiles, "lzo.c", ...own]);
const corpus = corpusOf("logfiles");

beforeAll(() => modules.compile(), 180_000);
afterAll(() => modules.remove());

test("the corpus of native/fuzz/logfiles.c passes under ASan and UBSan", async () => {
  const { code, output } = await modules.run("fuzz/logfiles.c", corpus);
  expect({ code, output }).toEqual({ code: 0, output: `${corpus.length} inputs\n` });
}, 180_000);

const mutants: [breaks: string, file: string, from: string, to: string][] = [
  ["a page may be shorter than it says", "logfiles/page.c", "HEADER_BYTES + keys + lengths + values != length || ", ""],
  ["a page may be out of order", "logfiles/page.c", "key >> NX_BUCKET_SHIFT < bucket || ", ""],
  ["a value of a bucket may end behind it", "logfiles/bucket.c", "    if (length - at - header < value_length) {\n      if (is_last) reader->state = NX_BUCKET_SHORT_VALUE;\n      break;\n    }\n", ""],
  ["records are taken from the log twice", "logfiles/logs.c", "    if (number < known) continue;\n", ""],
  ["a run's records are not checked", "logfiles/logs.c", "    if (next.kind == ENTRY_RUN && !is_run_whole(&next)) return -EBADMSG;\n", ""],
  ["a removal is not logged", "logfiles/logs.c", "  append_entry(&logs->effects, ENTRY_REMOVAL, channel, channel->next_number);\n", ""],
  ["input is forgotten at a stop", "logfiles/engine.c", "nx_kept_settle(&connection->input, consumed,", "nx_kept_settle(&connection->input, consumed + (connection->has_task && consumed > 0),"],
  ["a batch's content may be longer than it says", "logfiles/commands.c", "  if (content->length - *at - 8 < length) return false;\n", ""],
  ["alternatives are taken for literals", "logfiles/literal.c", "return memchr(pattern, '|', length) == NULL && ", "return "],
  ["a byte that may be missing is taken for one that must be there", "logfiles/literal.c", "      if (f->run_length > 0) f->run_length -= 1;\n", ""],
]; // prettier-ignore

test.each(mutants)(
  "turns red when %s",
  async (_breaks, file, from, to) => {
    expect(await modules.notices([file, from, to], "fuzz/logfiles.c", corpus)).toBe(true);
  },
  180_000,
);
