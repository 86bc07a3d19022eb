/*
 * What a connection keeps of its input: an unfinished request, or what waits behind a stop.
 *
 * Invariant: a connection that owes nothing owns no memory, and what all connections of an engine own is in its total,
 * which the engine bounds. A crash loses it: nothing of it was answered.
 */
#ifndef NX_KEPT_INPUT_H
#define NX_KEPT_INPUT_H
#include <stdbool.h>
#include <string.h>

#include "buffer.h"

typedef struct {
  nx_buffer bytes;
  uint64_t start;   /* of what is not worked off */
  uint64_t counted; /* what this input adds to the engine's total */
} nx_kept_input;

/* Bytes that are not worked off. */
static inline uint64_t nx_kept_length(const nx_kept_input *input) { return input->bytes.length - input->start; }

/* Where they are; only when there are any. */
static inline const uint8_t *nx_kept_bytes(const nx_kept_input *input) { return input->bytes.data + input->start; }

/* Lets go of `consumed` bytes; of everything when the connection closes. */
static inline void nx_kept_consume(nx_kept_input *input, uint64_t consumed, bool is_closing) {
  nx_buffer *bytes = &input->bytes;
  input->start += consumed;
  if (input->start == bytes->length || is_closing) {
    nx_buffer_free(bytes);
    input->start = 0;
  } else if (input->start > bytes->length / 2) {
    memmove(bytes->data, bytes->data + input->start, bytes->length - input->start);
    bytes->length -= input->start;
    input->start = 0;
  }
}

/* Brings the engine's total up to date; `others` is what the connection owns besides. */
static inline void nx_kept_count(nx_kept_input *input, uint64_t others, uint64_t *total) {
  uint64_t owned = input->bytes.capacity + others;
  *total += owned - input->counted;
  input->counted = owned;
}

/* Whether anything was kept or counted, so that it has to be settled. */
static inline bool nx_kept_any(const nx_kept_input *input) {
  return input->bytes.capacity != 0 || input->counted != 0;
}

static inline void nx_kept_free(nx_kept_input *input, uint64_t *total) {
  *total -= input->counted;
  nx_buffer_free(&input->bytes);
}

#endif
