/* Dump files through tcm.h. Every input ends where its memory ends, so that ASan sees a byte too many being read. */
#include <errno.h>
#include <stdint.h>

#include "../tcm.h"
#include "tap.h"

#define S(text) ((nx_slice){(const uint8_t *)(text), strlen(text)})

static nx_tcm_reader reader_new(void) {
  return (nx_tcm_reader){.value_bytes_max = 65536, .range_max = UINT64_MAX};
}

static uint64_t read_copy(nx_tcm_reader *reader, const nx_tcm_sink *sink, const uint8_t *bytes, uint64_t length) {
  uint8_t *copy = malloc(length == 0 ? 1 : length);
  memcpy(copy, bytes, length);
  uint64_t taken = nx_tcm_read(reader, sink, copy, length);
  free(copy);
  return taken;
}

/* A dump of `count` records in `tcm`, every seventh of a kind that goes to `side`. */
static void dump_of(nx_store *store, uint32_t count, nx_buffer *tcm, nx_buffer *side) {
  nx_channel *channel = nx_store_channel(store, S("ch"), true);
  for (uint32_t i = 0; i < count; i++) {
    char key[17], value[64];
    snprintf(key, sizeof key, "%016x", i * 2654435761u);
    snprintf(value, sizeof value, "value %u", i);
    CHECK(nx_channel_put(channel, S(i % 7 == 3 ? value : key), S(value), i % 7 == 5 ? 1000 + i : 0) == 0);
  }
  nx_tcm_dumper dumper = {.value_bytes_max = 65536};
  nx_tcm_begin(tcm);
  while (nx_tcm_dump(store, S("ch"), &dumper, 0, 512, tcm, side) == 1) {}
  nx_tcm_end(tcm, 0);
  CHECK(dumper.records + dumper.side_records == count);
  CHECK(tcm->length % 512 == 0);
}

static void what_is_dumped_is_loaded(void) {
  for (uint32_t count = 0; count < 400; count += 57) {
    nx_store *store = nx_store_new_seeded(0, 1, 2), *again = nx_store_new_seeded(0, 3, 4);
    nx_buffer tcm = {0}, side = {0};
    dump_of(store, count, &tcm, &side);
    nx_tcm_reader reader = reader_new();
    nx_tcm_sink sink = {nx_store_channel(again, S("ch"), true), NULL, NULL};
    CHECK(read_copy(&reader, &sink, tcm.data, tcm.length) == tcm.length);
    CHECK(reader.phase == NX_TCM_ENDED);
    uint64_t side_records = count - reader.loaded;
    CHECK(nx_tcm_side_apply(sink.channel, side.data, side.length, 0, false) == (int64_t)side_records);
    CHECK(nx_channel_records(sink.channel) == count);
    nx_buffer_free(&tcm);
    nx_buffer_free(&side);
    nx_store_free(store);
    nx_store_free(again);
  }
}

/* Whatever is cut off, a reader waits for more and takes whole records only. */
static void every_prefix_is_incomplete(void) {
  nx_store *store = nx_store_new_seeded(0, 1, 2);
  nx_buffer tcm = {0}, side = {0};
  dump_of(store, 12, &tcm, &side);
  uint64_t end = 0;
  for (uint64_t cut = 0; cut <= tcm.length; cut++) {
    nx_tcm_reader reader = reader_new();
    nx_tcm_sink sink = {NULL, NULL, NULL};
    uint64_t taken = read_copy(&reader, &sink, tcm.data, cut);
    CHECK(taken <= cut && reader.phase != NX_TCM_REFUSED);
    if (reader.phase == NX_TCM_ENDED && end == 0) end = cut;
    /* The rest, given again from where it stopped, in pieces of all sizes. */
    for (uint64_t piece = 1; reader.phase != NX_TCM_ENDED; piece++) {
      uint64_t length = tcm.length - taken < piece ? tcm.length - taken : piece;
      uint64_t more = read_copy(&reader, &sink, tcm.data + taken, length);
      if (more != 0) piece = 0;
      taken += more;
      if (length == tcm.length - taken && more == 0 && piece > tcm.length) break;
    }
    CHECK(reader.phase == NX_TCM_ENDED && reader.loaded == reader.records);
  }
  CHECK(end > 8 && end < tcm.length);
  nx_buffer_free(&tcm);
  nx_buffer_free(&side);
  nx_store_free(store);
}

static void garbage_is_survived(void) {
  uint64_t state = 42;
  for (int round = 0; round < 4000; round++) {
    nx_store *store = nx_store_new_seeded(0, 1, 2);
    nx_buffer tcm = {0}, side = {0}, lines = {0}, notes = {0};
    dump_of(store, (uint32_t)(test_random(&state) % 9), &tcm, &side);
    for (uint64_t edits = test_random(&state) % 4; edits > 0; edits--)
      tcm.data[test_random(&state) % tcm.length] = (uint8_t)test_random(&state);
    if (side.length != 0 && round % 2 == 0) side.data[test_random(&state) % side.length] ^= 1u << (round / 2 % 8);
    nx_tcm_reader reader = reader_new();
    nx_channel *channel = nx_store_channel(store, S("to"), true);
    nx_tcm_sink sink = {channel, &lines, &notes};
    uint64_t length = tcm.length - test_random(&state) % 64, taken = 0, more;
    do taken += more = read_copy(&reader, &sink, tcm.data + taken, length - taken);
    while (more != 0);
    CHECK(taken <= length && reader.loaded <= reader.records);
    CHECK(nx_channel_records(channel) <= reader.loaded);
    (void)nx_tcm_side_apply(channel, side.data, side.length, 0, round % 3 == 0);
    nx_buffer_free(&tcm);
    nx_buffer_free(&side);
    nx_buffer_free(&lines);
    nx_buffer_free(&notes);
    nx_store_free(store);
  }
}

static void lines_make_the_records_they_were_made_of(void) {
  nx_store *store = nx_store_new_seeded(0, 1, 2);
  nx_buffer tcm = {0}, side = {0}, lines = {0}, made = {0};
  dump_of(store, 60, &tcm, &side);
  nx_tcm_reader reader = reader_new();
  nx_tcm_sink sink = {NULL, &lines, NULL};
  (void)nx_tcm_read(&reader, &sink, tcm.data, tcm.length);
  uint8_t *text = malloc(lines.length);
  memcpy(text, lines.data, lines.length);
  nx_tcm_lines state = {0, 0};
  nx_tcm_begin(&made);
  CHECK(nx_tcm_from_lines(&state, text, lines.length, true, &made) == (int64_t)lines.length);
  nx_tcm_end(&made, 0);
  CHECK(state.records == reader.loaded);
  CHECK(made.length == tcm.length && memcmp(made.data, tcm.data, made.length) == 0);
  for (uint64_t cut = 0; cut < 60; cut++) {
    nx_tcm_lines first = {0, 0};
    made.length = 0;
    uint8_t *copy = malloc(cut == 0 ? 1 : cut);
    memcpy(copy, text, cut);
    int64_t taken = nx_tcm_from_lines(&first, copy, cut, false, &made);
    CHECK(taken >= 0 && (uint64_t)taken <= cut);
    (void)nx_tcm_from_lines(&first, copy, cut, true, &made);
    free(copy);
  }
  free(text);
  nx_buffer_free(&tcm);
  nx_buffer_free(&side);
  nx_buffer_free(&lines);
  nx_buffer_free(&made);
  nx_store_free(store);
}

static void a_removed_channel_ends_its_dump(void) {
  nx_store *store = nx_store_new_seeded(0, 1, 2);
  nx_buffer tcm = {0}, side = {0};
  nx_tcm_dumper dumper = {.value_bytes_max = 65536};
  CHECK(nx_tcm_dump(store, S("ch"), &dumper, 0, 1, &tcm, &side) == -ENOENT);
  nx_channel *channel = nx_store_channel(store, S("ch"), true);
  CHECK(nx_channel_put(channel, S("0000000000000001"), S("x"), 0) == 0);
  CHECK(nx_tcm_dump(store, S("ch"), &dumper, 0, 1, &tcm, &side) >= 0);
  nx_store_channel_remove(store, channel);
  CHECK(nx_tcm_dump(store, S("ch"), &dumper, 0, 1, &tcm, &side) == -ENOENT);
  CHECK(nx_store_channel(store, S("ch"), true) != NULL);
  CHECK(nx_tcm_dump(store, S("ch"), &dumper, 0, 1, &tcm, &side) == -ENOENT);
  nx_buffer_free(&tcm);
  nx_buffer_free(&side);
  nx_store_free(store);
}

int main(void) {
  TEST("what is dumped is loaded", what_is_dumped_is_loaded);
  TEST("every prefix of a file is incomplete, not wrong", every_prefix_is_incomplete);
  TEST("garbage is survived", garbage_is_survived);
  TEST("lines make the records they were made of", lines_make_the_records_they_were_made_of);
  TEST("a removed channel ends its dump", a_removed_channel_ends_its_dump);
  TAP_END();
}
