/*
 * The merge of any number of diffs, sorted and indexed ones mixed: in one pass over the addresses, later inputs win.
 * No file is touched: the merge asks for the bytes that it needs next and hands out what is ready.
 *
 *   for (;;) switch (nx_merge_step(m)) {
 *     case NX_MERGE_NEED:  read need.length bytes (at least need.minimum) at need.offset of input need.input
 *                          to need.address; nx_merge_filled(m, bytes read)
 *     case NX_MERGE_READY: take everything in out (and runs)
 *     case NX_MERGE_END:   the last bytes were taken before
 *     case NX_MERGE_DAMAGED: need.input and need.offset say where
 *   }
 *
 * Memory: for each input a window of the size that was asked for (more only while a longer record passes), decoded
 * images of 8 MiB together, and what is ready. Every stored image that is used has its checksum verified; data that
 * later inputs cover is not read.
 */
#ifndef NX_BLOCKS_MERGE_H
#define NX_BLOCKS_MERGE_H
#include <stdint.h>

#include "../buffer.h"
#include "codec.h"
#include "wdiff.h"

enum { NX_MERGE_END, NX_MERGE_NEED, NX_MERGE_READY, NX_MERGE_DAMAGED };

/* What comes out: sorted packs, or stretches of an image (nx_run of log-reader.h) with their bytes. */
enum { NX_MERGE_PACKS, NX_MERGE_RUNS };

/* 64-bit words, read by src/native/diff-merge.ts. */
typedef struct {
  uint64_t input, offset, length, minimum; /* what is needed, or where the damage is */
  uint64_t address;                        /* where the bytes go */
  uint64_t in_normal, in_zero, in_discard;                      /* records that were met */
  uint64_t in_normal_blocks, in_zero_blocks, in_discard_blocks, in_bytes;
  uint64_t out_normal, out_zero, out_discard;
  uint64_t out_normal_blocks, out_zero_blocks, out_discard_blocks, out_bytes;
  uint64_t end_blocks;                                          /* behind the last block that came out */
} nx_merge_state;

typedef struct nx_merge nx_merge;

/* `blocks_max`: longer records are split; 0 leaves them. `ready_bytes`: hand out when this much is ready; with packs,
 * 0 hands out each pack by itself. */
NX_API nx_merge *nx_merge_new(uint32_t form, uint32_t inputs, uint32_t codec, uint32_t level, uint32_t blocks_max,
                              uint64_t ready_bytes, uint64_t window_bytes);
NX_API void nx_merge_free(nx_merge *merge);
/* Input `index` is a sorted diff of `file_bytes`. */
NX_API void nx_merge_sorted(nx_merge *merge, uint32_t index, uint64_t file_bytes);
/* Input `index` is an indexed diff; the two figures are those of its trailer. */
NX_API void nx_merge_indexed(nx_merge *merge, uint32_t index, uint64_t file_bytes, uint64_t index_offset,
                             uint64_t records);
NX_API nx_merge_state *nx_merge_state_of(nx_merge *merge);
NX_API nx_buffer *nx_merge_out(nx_merge *merge);
NX_API nx_buffer *nx_merge_runs(nx_merge *merge);
NX_API uint32_t nx_merge_step(nx_merge *merge);
NX_API void nx_merge_filled(nx_merge *merge, uint64_t bytes);

#endif
