/*
 * Fuzz target of the WalB decoders. The first byte says what the rest is: a log file (0 modulo 4), one sorted diff (1),
 * one indexed diff (2), stored data of a codec (3; the second byte names it).
 *
 * A log must give the same writes whole and in pieces, and the same packs sorted in place as merged from its images; a merge
 * must end, and what it gives must be in rising order.
 *
 *   clang -std=c11 -g -O1 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -Inative native/fuzz/blocks.c \
 *     native/blocks/*.c native/{buffer,nx}.c -lz -llzma -llz4 -lsnappy -lzstd
 *
 * With -DNX_FUZZ_FILES it has a main of its own that runs the files named on the command line (any compiler).
 */
#include <stdlib.h>
#include <string.h>

#include "../blocks/log-reader.h"
#include "../blocks/log-sort.h"
#include "../blocks/merge.h"
#include "../blocks/recompress.h"
#include "../nx.h"
#include "../stretches.h"

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

/* The packs of a log that is read in place, in batches of `batch` bytes. */
static void sort_log(const uint8_t *bytes, uint64_t length, uint64_t batch, nx_buffer *packs) {
  nx_buffer stretches = {0}, content = {0}, out = {0}, other = {0};
  nx_log_reader *reader = nx_log_reader_new(NX_CODEC_NONE, 0, 0);
  nx_log_reader_in_place(reader);
  nx_log_feed(reader, bytes, length, 0);
  nx_log_sort *sort = nx_log_sort_new(reader, NX_CODEC_SNAPPY, 0, 0);
  while (nx_log_sort_next(sort, &stretches, batch) > 0) {
    nx_buffer_reserve(&content, nx_log_sort_bytes(sort) + 1);
    for (uint64_t at = 0; at < stretches.length; at += sizeof(nx_stretch)) {
      const nx_stretch *stretch = (const nx_stretch *)(const void *)(stretches.data + at);
      NX_ASSERT(stretch->from <= length && stretch->length <= length - stretch->from);
      memcpy(content.data + stretch->to, bytes + stretch->from, stretch->length);
    }
    NX_ASSERT(nx_log_sort_pack(sort, content.data, nx_log_sort_bytes(sort), &out));
    nx_log_sort_swap(sort, &out, &other);
    nx_buffer_append(packs, out.data, out.length);
    nx_buffer swapped = out;
    out = other;
    other = swapped;
  }
  nx_log_sort_end(sort, &out);
  nx_buffer_append(packs, out.data, out.length);
  nx_log_sort_free(sort);
  nx_log_reader_free(reader);
  nx_buffer *own[] = {&stretches, &content, &out, &other};
  for (uint32_t i = 0; i < 4; i++) nx_buffer_free(own[i]);
}

/* The packs of the same log by way of its images: an indexed diff, merged. */
static void merge_log(const uint8_t *bytes, uint64_t length, nx_buffer *packs) {
  nx_log_reader *reader = nx_log_reader_new(NX_CODEC_SNAPPY, 0, 0);
  nx_log_feed(reader, bytes, length, 0);
  uint64_t records = nx_log_index(reader, 0);
  const nx_buffer *diff = nx_log_reader_out(reader);
  uint64_t offset = diff->length - NX_WDIFF_TRAILER_BYTES - records * NX_WDIFF_INDEX_BYTES;
  nx_merge *merge = nx_merge_new(NX_MERGE_PACKS, 1, NX_CODEC_SNAPPY, 0, 0, 65536, 4096);
  nx_merge_indexed(merge, 0, diff->length, offset, records);
  nx_merge_state *state = nx_merge_state_of(merge);
  for (uint32_t step; (step = nx_merge_step(merge)) != NX_MERGE_END;) {
    NX_ASSERT(step != NX_MERGE_DAMAGED);
    if (step == NX_MERGE_READY) {
      nx_buffer_append(packs, nx_merge_out(merge)->data, nx_merge_out(merge)->length);
      continue;
    }
    memcpy((uint8_t *)(uintptr_t)state->address, diff->data + state->offset, state->length);
    nx_merge_filled(merge, state->length);
  }
  nx_merge_free(merge);
  nx_log_reader_free(reader);
}

static void sort_and_merge(const uint8_t *bytes, uint64_t length, uint64_t batch) {
  nx_buffer sorted = {0}, merged = {0};
  sort_log(bytes, length, batch, &sorted);
  merge_log(bytes, length, &merged);
  NX_ASSERT(sorted.length == merged.length);
  NX_ASSERT(sorted.length == 0 || memcmp(sorted.data, merged.data, sorted.length) == 0);
  nx_buffer_free(&sorted);
  nx_buffer_free(&merged);
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

/* A pack that is sound stays so, and does not grow. */
static void recompress(const uint8_t *bytes, uint64_t length) {
  nx_buffer out = {0};
  if (nx_pack_recompress(bytes, length, NX_CODEC_LZ4, 0, &out) == 0 && out.length != 0) {
    NX_ASSERT(out.length <= length);
    NX_ASSERT(nx_wdiff_pack_verify(out.data, out.length, 0, UINT64_MAX) >= 0);
  }
  nx_buffer_free(&out);
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
    case 0:
      read_log(rest, length, 1 + data[1]);
      sort_and_merge(rest, length, 1 + 300u * data[1]);
      break;
    case 1:
      read_diff(rest, length, data[1] % 2, false);
      if (length > NX_WDIFF_HEADER_BYTES + NX_WDIFF_PACK_BYTES)
        recompress(rest + NX_WDIFF_HEADER_BYTES, length - NX_WDIFF_HEADER_BYTES - NX_WDIFF_PACK_BYTES);
      break;
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
