/*
 * Fuzz target of dump files. The first byte says what the rest is: a `.tcm` (even; the second byte is the size of
 * pieces it is read in), a block of a `.nxs` (1 modulo 4), or lines (3 modulo 4).
 *
 * A file must give the same records whole and in pieces, and its lines must make the same records again.
 *
 *   clang -std=c11 -g -O1 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -Inative native/fuzz/tcm.c \
 *     native/{buffer,channel,crc32c,effects,expiry,nx,paged,slab,store,table,tcm,tcm-lines}.c
 *
 * With -DNX_FUZZ_FILES it has a main of its own that runs the files named on the command line (any compiler).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../nx.h"
#include "../tcm.h"

static nx_channel *channel_new(nx_store **store) {
  *store = nx_store_new_seeded(0, 1, 2);
  return nx_store_channel(*store, (nx_slice){(const uint8_t *)"ch", 2}, true);
}

/* Reads `bytes` in pieces: what was not taken comes again with one piece more. */
static void read_in_pieces(nx_tcm_reader *reader, const nx_tcm_sink *sink, const uint8_t *bytes, uint64_t length,
                           uint64_t piece) {
  for (uint64_t from = 0, to = 0; to < length;) {
    to = length - to < piece ? length : to + piece;
    /* Copies of their own, so that the sanitizer sees a byte too many. */
    uint8_t *copy = malloc(to - from);
    NX_ASSERT(copy != NULL);
    memcpy(copy, bytes + from, to - from);
    uint64_t taken = nx_tcm_read(reader, sink, copy, to - from);
    NX_ASSERT(taken <= to - from);
    from += taken;
    free(copy);
  }
}

static void read_file(const uint8_t *bytes, uint64_t length, uint64_t piece) {
  nx_store *store;
  nx_buffer lines = {0}, again = {0}, made = {0}, notes = {0};
  nx_tcm_reader whole = {.value_bytes_max = 300, .range_max = UINT64_MAX / 4, .out_of_range = piece % 3};
  nx_tcm_reader parts = whole;
  nx_tcm_sink to_lines = {NULL, &lines, &notes}, to_store = {channel_new(&store), &again, NULL};
  read_in_pieces(&whole, &to_lines, bytes, length, length);
  read_in_pieces(&parts, &to_store, bytes, length, piece);
  NX_ASSERT(memcmp(&whole, &parts, sizeof whole) == 0);
  NX_ASSERT(lines.length == again.length && (lines.length == 0 || !memcmp(lines.data, again.data, lines.length)));
  NX_ASSERT(nx_channel_records(to_store.channel) <= whole.loaded && whole.loaded <= whole.records + 1);
  nx_tcm_lines state = {0, 0};
  NX_ASSERT(nx_tcm_from_lines(&state, lines.data, lines.length, true, &made) == (int64_t)lines.length);
  NX_ASSERT(state.records == whole.loaded);
  nx_buffer_free(&lines);
  nx_buffer_free(&again);
  nx_buffer_free(&made);
  nx_buffer_free(&notes);
  nx_store_free(store);
}

static void read_lines(const uint8_t *text, uint64_t length) {
  nx_buffer made = {0}, lines = {0}, again = {0};
  nx_tcm_lines state = {0, 0};
  nx_tcm_begin(&made);
  if (nx_tcm_from_lines(&state, text, length, true, &made) >= 0) {
    nx_tcm_end(&made, 0);
    nx_tcm_reader reader = {.value_bytes_max = UINT64_MAX, .range_max = UINT64_MAX};
    nx_tcm_sink sink = {NULL, &lines, NULL};
    NX_ASSERT(nx_tcm_read(&reader, &sink, made.data, made.length) == made.length);
    NX_ASSERT(reader.phase == NX_TCM_ENDED && reader.loaded == state.records);
    nx_tcm_lines second = {0, 0};
    nx_tcm_begin(&again);
    NX_ASSERT(nx_tcm_from_lines(&second, lines.data, lines.length, false, &again) == (int64_t)lines.length);
    nx_tcm_end(&again, 0);
    NX_ASSERT(again.length == made.length && memcmp(again.data, made.data, made.length) == 0);
  }
  nx_buffer_free(&made);
  nx_buffer_free(&lines);
  nx_buffer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 3) return 0;
  uint64_t length = size - 2;
  uint8_t *rest = malloc(length);
  NX_ASSERT(rest != NULL);
  memcpy(rest, data + 2, length);
  if (data[0] % 2 == 0) {
    read_file(rest, length, 1 + data[1]);
  } else if (data[0] % 4 == 1) {
    nx_store *store;
    nx_channel *channel = channel_new(&store);
    NX_ASSERT(nx_tcm_side_apply(channel, rest, length, 1000, data[1] % 2 == 0) <= (int64_t)length);
    nx_store_free(store);
  } else {
    read_lines(rest, length);
  }
  free(rest);
  return 0;
}

#ifdef NX_FUZZ_FILES
#include "files.h"
#endif
