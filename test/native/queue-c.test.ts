/**
 * The C tests of the queues: the ring against a plain list, the fuzz corpus under ASan and UBSan, and mutants that these
 * must catch.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { corpusOf, SanitizedModules, sourcesOf, storeFiles } from "./sanitized.ts";

const folders = ["queue", "queue/resp", "queue/legacy", "resp", "legacy"];
// Its neo requests need that protocol's engine: the nodes of test/channels/queue/neo.test.ts run them.
const own = folders.flatMap(sourcesOf).filter((path) => path !== "queue/neo.c");
const modules = new SanitizedModules([...own, ...storeFiles, "lzo.c"]);
const corpus = corpusOf("queue");

beforeAll(() => modules.compile(), 300_000);
afterAll(() => modules.remove());

test("the ring agrees with a plain list", async () => {
  expect(await modules.tap("test/test-ring.c")).toMatchObject({ code: 0, failed: null });
}, 180_000);

test("the fuzz corpus passes: replies whole or in pieces, states back from their effects", async () => {
  expect(await modules.run("fuzz/queue.c", corpus)).toEqual({
    code: 0,
    output: `${corpus.length} inputs\n`,
  });
}, 180_000);

const ringMutants = [
  ["a gap at the end counts as free", "queue/ring.c", "return area->read >= size;\n  }\n  *place = area->write;\n  return area->read - area->write >= size;", "return area->read >= size;\n  }\n  *place = area->write;\n  return area->capacity - area->write >= size;"],
  ["a record may pass the first one", "queue/ring.c", "*place = 0;\n    return area->read >= size;", "*place = 0;\n    return area->read + 8 >= size;"],
  ["a record taken at the end still counts as used", "queue/ring.c", "  area->used -= size;\n  area->count -= 1;\n  ring->used -= size;", "  area->used -= size;\n  area->count -= 1;\n  ring->used -= 0;"],
  ["what comes passes what waits in the overflow", "queue/ring.c", "if (ring->far.count == 0 && place_behind(&ring->near", "if (place_behind(&ring->near"],
  ["nothing comes back from the overflow", "queue/ring.c", "if (ring->far.count > 0) pull_in(ring);", ""],
  ["an empty overflow keeps its disk space", "queue/ring.c", "if (ring->far.bytes != NULL && ring->far.count == 0) nx_overflow_empty(ring->overflow, &ring->place);", ""],
] as const; // prettier-ignore

test.each(ringMutants)(
  "the ring's test turns red when %s",
  async (_claim, path, from, to) => {
    expect(await modules.notices([path, from, to], "test/test-ring.c")).toBe(true);
  },
  180_000,
);

const corpusMutants = [
  ["a drop is not recorded", "queue/queue.c", "= nx_queue_forget(queue, end, count);\n  nx_queue_record_number(", "= nx_queue_forget(queue, end, count);\n  if (count > 1) nx_queue_record_number("],
  ["an effect counts again over a snapshot that has it", "queue/replay.c", "case NX_Q_END: queue->version = nx_load64(effect->value.data); return true;", "case NX_Q_END: queue->version = nx_load64(effect->value.data) + 1; return true;"],
  ["an entry is not looked at", "queue/stream.c", "if (!is_entry(record)) return false;", ""],
  ["an effect's length is believed", "queue/effects.c", "if (total > length || !length_fits(operation, value_length)) return -EBADMSG;", "if (!length_fits(operation, value_length)) return -EBADMSG;"],
  ["a waiter is not given back", "resp/waiting.c", "engine->input_bytes -= waiter->bytes_counted;", "engine->input_bytes -= 0;"],
  ["a record of a Produce stream is taken before it is complete", "queue/legacy/produce.c", "if (length - 8 < size) return 0;", "if (length < 8) return 0;"],
  ["an acknowledged entry stays with its consumer", "queue/groups.c", "nx_pending_remove(&pending->consumer->pending, NX_OF_CONSUMER, pending);\n  free(pending);", "free(pending);"],
  ["a consumer that leaves stays in its channel's list", "queue/legacy/consume.c", "unlink_from_queue(connection->consumption);\n  free(connection->consumption);", "free(connection->consumption);"],
] as const; // prettier-ignore

test.each(corpusMutants)(
  "the corpus turns red when %s",
  async (_claim, path, from, to) => {
    expect(await modules.notices([path, from, to], "fuzz/queue.c", corpus)).toBe(true);
  },
  180_000,
);
