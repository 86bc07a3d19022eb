/*
 * What is visible of a log that was read in place, as sorted packs: batch by batch, the caller reads the data.
 *
 *   while (nx_log_sort_next(sort, stretches, bytes) > 0) {
 *     read every stretch of `stretches` from the log to its place in `content`
 *     nx_log_sort_pack(sort, content, length, out): packs, complete but for the last one
 *   }
 *   nx_log_sort_end(sort, out)
 *
 * Memory: 40 bytes for each visible piece. The data of a write that is visible as a whole is verified once more.
 */
#ifndef NX_BLOCKS_LOG_SORT_H
#define NX_BLOCKS_LOG_SORT_H
#include <stdint.h>

#include "log-reader.h"

typedef struct nx_log_sort nx_log_sort;

/* Takes the writes of the reader, which forgets them. `blocks_max`: longer pieces are split; 0 leaves them. */
NX_API nx_log_sort *nx_log_sort_new(nx_log_reader *reader, uint32_t codec, uint32_t level, uint32_t blocks_max);
NX_API void nx_log_sort_free(nx_log_sort *sort);
NX_API uint64_t nx_log_sort_records(const nx_log_sort *sort);

/* Begins a batch of about `bytes` of content: what is to be read, as nx_stretch structs. Returns its pieces. */
NX_API uint64_t nx_log_sort_next(nx_log_sort *sort, nx_buffer *stretches, uint64_t bytes);
/* Bytes of content of the batch. */
NX_API uint64_t nx_log_sort_bytes(const nx_log_sort *sort);
/* Appends the batch to `out`, whose open pack stays at its front: true when the data is what was in the log. */
NX_API bool nx_log_sort_pack(nx_log_sort *sort, const uint8_t *content, uint64_t length, nx_buffer *out);
/* How much of `out` is complete packs. */
NX_API uint64_t nx_log_sort_ready(const nx_log_sort *sort, const nx_buffer *out);
/* The open pack moves to the front of `other`, the rest of `out` may be written. */
NX_API void nx_log_sort_swap(nx_log_sort *sort, nx_buffer *out, nx_buffer *other);
/* Completes the open pack. */
NX_API void nx_log_sort_end(nx_log_sort *sort, nx_buffer *out);

#endif
