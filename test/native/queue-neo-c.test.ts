/** The queues' neo requests in C: the fuzz corpus under ASan and UBSan, and mutants that it must catch. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { corpusOf, SanitizedModules, sourcesOf, storeFiles } from "./sanitized.ts";

const modules = new SanitizedModules([...["neo", "queue"].flatMap(sourcesOf), ...storeFiles, "lzo.c"]);
const corpus = corpusOf("queue-neo");

beforeAll(() => modules.compile(), 300_000);
afterAll(() => modules.remove());

test("the corpus of native/fuzz/queue-neo.c passes", async () => {
  expect(await modules.run("fuzz/queue-neo.c", corpus)).toEqual({
    code: 0,
    output: `${corpus.length} inputs\n`,
  });
}, 180_000);

const mutants: [breaks: string, file: string, from: string, to: string][] = [
  ["names are not looked at", "queue/neo.c", " || !nx_channel_name_valid(name)) return false;", ") return false;"],
  ["a consumer that leaves stays in its storage's list", "queue/neo.c", "else *first_of(context_of(engine), kept->storage) = kept->next;", ""],
  ["a consumer keeps the storage that was removed", "queue/neo.c", "at->storage = NULL;\n  *first = NULL;", "(void)at;\n  *first = NULL;"],
  ["a consumer does not know who was there before", "queue/neo.c", "    kept->previous = *place;\n", ""],
  ["a batch may take more than there is", "queue/neo.c", "return (nx_queue_length(kept->storage) + ready - 1) / ready;", "return nx_queue_length(kept->storage) + ready;"],
  ["what the client says behind its consumer is not looked at", "queue/neo.c", "if (!nx_neo_take_u8(&payload, &kind)) return NX_NEO_BROKEN;", "kind = *payload.data;"],
]; // prettier-ignore

test.each(mutants)(
  "the corpus turns red when %s",
  async (_breaks, file, from, to) => {
    expect(await modules.notices([file, from, to], "fuzz/queue-neo.c", corpus)).toBe(true);
  },
  180_000,
);
