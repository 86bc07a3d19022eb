/** C tests of the neo protocol's engine: the fuzz corpus under ASan and UBSan, and mutants that it must catch. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { corpusOf, SanitizedModules, sourcesOf, storeFiles } from "./sanitized.ts";

const modules = new SanitizedModules([...storeFiles, "lzo.c", ...sourcesOf("neo")]);
const corpus = corpusOf("neo");

beforeAll(() => modules.compile(), 180_000);
afterAll(() => modules.remove());

test("the corpus of native/fuzz/neo.c passes", async () => {
  const { code, output } = await modules.run("fuzz/neo.c", corpus);
  expect({ code, output }).toEqual({ code: 0, output: `${corpus.length} inputs\n` });
}, 180_000);

const mutants: [breaks: string, file: string, from: string, to: string][] = [
  ["the length of a message is not checked against what is there", "neo/engine.c", "if (length - consumed - HEADER_BYTES < body_length) break;", ""],
  ["an array may end behind its message", "neo/service.h", "!nx_neo_take_u64(from, &length) || length > from->length", "!nx_neo_take_u64(from, &length)"],
  ["a request that is over stays in its slot", "neo/engine.c", "*slot = request->same_slot;\n  nx_neo_request **at", "nx_neo_request **at"],
  ["a request that is over may have the next turn", "neo/engine.c", "if (connection->turn == request) connection->turn = request->next;", ""],
  ["a Mirror that leaves stays in its channel's list", "neo/mirror.c", "  unlink_from_channel(of);\n  free(of->ring);", "  free(of->ring);"],
  ["a Mirror keeps the channel that was removed", "neo/mirror.c", "for (; of != NULL; of = of->next) of->channel = NULL;", ""],
  ["a header lacks its parity", "neo/engine.c", "at[9] = TYPE_REQUEST ^ fold(body_length);", "at[9] = TYPE_REQUEST;"],
  ["input forgotten at a stop", "neo/engine.c", "nx_kept_settle(&connection->input, consumed,", "nx_kept_settle(&connection->input, consumed + connection->is_waiting,"],
  ["a stopped connection is not pumped", "neo/engine.c", "uint32_t flags = connection->is_waiting ? NX_NEO_MORE | NX_NEO_STOPPED : 0;", "uint32_t flags = 0;"],
]; // prettier-ignore

test.each(mutants)(
  "turns red when %s",
  async (_breaks, file, from, to) => {
    expect(await modules.notices([file, from, to], "fuzz/neo.c", corpus)).toBe(true);
  },
  180_000,
);
