/*
 * Fuzz target of the WalB decoders. The first byte says what the rest is: a log file (0 modulo 4), one sorted diff (1),
 * one indexed diff (2), stored data of a codec (3; the second byte names it).
 *
 * A log must give the same writes whole and in pieces; a merge must end, and what it gives must be in rising order.
 *
 *   clang -std=c11 -g -O1 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -Inative native/fuzz/blocks.c \
 *     native/blocks/*.c native/{buffer,nx}.c -lz -llzma -llz4 -lsnappy -lzstd
 *
 * With -DNX_FUZZ_FILES it has a main of its own that runs the files named on the command line (any compiler).
 */
#include <stdlib.h>
#include <string.h>

#include "../blocks/log-reader.h"
#include "../blocks/merge.h"
#include "../nx.h"

#define STEPS_MAX 20000u

static void read_log(const uint8_t *bytes, uint64_t length, uint64_t piece) {
  nx_log_reader *whole = nx_log_reader_new(NX_CODEC_SNAPPY, 0, 32), *parts = nx_log_reader_new(NX_CODEC_SNAPPY, 0, 32);
  nx_log_feed(whole, bytes, length, 0);
  for (uint64_t at = 0; at < length; at += piece) {
    uint64_t size = length - at < piece ? length - at : piece;
    uint8_t *copy = malloc(size);
    NX_ASSERT(copy != NULL);
    memcpy(copy, bytes + at, size);
    nx_log_feed(parts, copy, size, 0);
    free(copy);
  }
  NX_ASSERT(memcmp(nx_log_reader_state(whole), nx_log_reader_state(parts), sizeof(nx_log_state)) == 0);
  NX_ASSERT(nx_log_index(whole, 2048) == nx_log_index(parts, 2048));
  NX_ASSERT(nx_log_reader_out(whole)->length == nx_log_reader_out(parts)->length);
  nx_log_reader_free(whole);
  nx_log_reader_free(parts);
}

static void run_merge(nx_merge *merge, const uint8_t *bytes, uint64_t length) {
  nx_merge_state *state = nx_merge_state_of(merge);
  uint64_t end = 0;
  for (uint32_t steps = 0; steps < STEPS_MAX; steps++) {
    uint32_t step = nx_merge_step(merge);
    if (step == NX_MERGE_END || step == NX_MERGE_DAMAGED) break;
    if (step == NX_MERGE_NEED) {
      NX_ASSERT(state->offset + state->length <= length && state->minimum <= state->length);
      memcpy((uint8_t *)(uintptr_t)state->address, bytes + state->offset, state->length);
      nx_merge_filled(merge, state->length);
      continue;
    }
    const nx_buffer *runs = nx_merge_runs(merge);
    for (uint64_t at = 0; at < runs->length; at += sizeof(nx_run)) {
      const nx_run *run = (const nx_run *)(const void *)(runs->data + at);
      NX_ASSERT(run->address >= end && run->blocks != 0);
      end = run->address + run->blocks;
      if (run->kind == NX_KIND_NORMAL)
        NX_ASSERT(run->data + run->blocks * NX_BLOCK_BYTES <= nx_merge_out(merge)->length);
    }
  }
  nx_merge_free(merge);
}

static void read_diff(const uint8_t *bytes, uint64_t length, uint32_t form, bool is_indexed) {
  nx_merge *merge = nx_merge_new(form, 1, NX_CODEC_LZ4, 0, form == NX_MERGE_PACKS ? 7 : 0, 65536, 4096);
  uint64_t offset = 0, records = 0;
  if (!is_indexed) {
    nx_merge_sorted(merge, 0, length);
  } else if (length >= NX_WDIFF_TRAILER_BYTES &&
             nx_wdiff_trailer_read(bytes + length - NX_WDIFF_TRAILER_BYTES, &offset, &records) == 0) {
    nx_merge_indexed(merge, 0, length, offset, records);
  }
  run_merge(merge, bytes, length);
}

static void decode(uint32_t id, const uint8_t *bytes, uint64_t length) {
  uint8_t content[3000];
  nx_codec *codec = nx_codec_new();
  for (uint64_t size = 1; size <= sizeof content; size = size * 3 + 1) {
    uint8_t *exact = malloc(size);
    NX_ASSERT(exact != NULL);
    nx_codec_decode(codec, id, bytes, length, exact, size);
    free(exact);
  }
  nx_codec_free(codec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 3) return 0;
  uint64_t length = size - 2;
  uint8_t *rest = malloc(length);
  NX_ASSERT(rest != NULL);
  memcpy(rest, data + 2, length);
  switch (data[0] % 4) {
    case 0: read_log(rest, length, 1 + data[1]); break;
    case 1: read_diff(rest, length, data[1] % 2, false); break;
    case 2: read_diff(rest, length, data[1] % 2, true); break;
    default: decode(data[1] % NX_CODEC_COUNT, rest, length); break;
  }
  free(rest);
  return 0;
}

#ifdef NX_FUZZ_FILES
#include <stdio.h>
#include "files.h"
#endif
