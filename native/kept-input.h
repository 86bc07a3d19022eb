/*
 * What a connection keeps of its input: an unfinished request, or what waits behind a stop.
 *
 * Invariant: a connection that owes nothing owns no memory. What all connections of an engine own is in one total, and
 * whoever takes it beyond its bound is closed. A crash loses it: nothing of it was answered.
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

/* Of all connections of an engine together. */
typedef struct {
  uint64_t bytes, bytes_max;
} nx_kept_total;

/* Bytes that are not worked off. */
static inline uint64_t nx_kept_length(const nx_kept_input *input) { return input->bytes.length - input->start; }

/* Where they are; only when there are any. */
static inline const uint8_t *nx_kept_bytes(const nx_kept_input *input) { return input->bytes.data + input->start; }

static inline void nx_kept_append(nx_kept_input *input, const uint8_t *bytes, uint64_t length) {
  nx_buffer_append(&input->bytes, bytes, length);
}

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

/*
 * `consumed` bytes were worked off: lets go of them and brings the total up to date. `others` is what the connection owns
 * besides. False when all connections together keep too much and this one should close.
 */
static inline bool nx_kept_settle(nx_kept_input *input, uint64_t consumed, uint64_t others, bool is_closing,
                                  nx_kept_total *total) {
  nx_kept_consume(input, consumed, is_closing);
  uint64_t owned = input->bytes.capacity + others;
  total->bytes += owned - input->counted;
  input->counted = owned;
  return total->bytes <= total->bytes_max || is_closing;
}

/* Whether anything was kept or counted, so that it has to be settled. */
static inline bool nx_kept_any(const nx_kept_input *input) {
  return input->bytes.capacity != 0 || input->counted != 0;
}

static inline void nx_kept_free(nx_kept_input *input, nx_kept_total *total) {
  total->bytes -= input->counted;
  nx_buffer_free(&input->bytes);
}

#endif
