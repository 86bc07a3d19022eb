/*
 * What the legacy and the neo protocol of the swarm nodes share: hashes of keys and who owns them, keys as text,
 * the size that the originals report, compressed batches.
 *
 *   batch: u64 length of the content | LZO1X stream      on the wire as an array: u64 length in front
 */
#ifndef NX_SWARM_H
#define NX_SWARM_H
#include <stdbool.h>
#include "buffer.h"
#include "bytes.h"
#include "lzo.h"
#include "record.h"
#include "store.h"

static inline uint64_t nx_reverse64(uint64_t value) {
  value = (value >> 1 & UINT64_C(0x5555555555555555)) | (value & UINT64_C(0x5555555555555555)) << 1;
  value = (value >> 2 & UINT64_C(0x3333333333333333)) | (value & UINT64_C(0x3333333333333333)) << 2;
  value = (value >> 4 & UINT64_C(0x0f0f0f0f0f0f0f0f)) | (value & UINT64_C(0x0f0f0f0f0f0f0f0f)) << 4;
  return __builtin_bswap64(value);
}

static inline bool nx_is_in_range(uint64_t number, uint64_t min, uint64_t max) {
  uint64_t place = nx_reverse64(number);
  return min <= place && place <= max;
}

/* The number that 16 lower-case hex digits mean. */
static inline bool nx_hex_number(nx_slice text, uint64_t *number) {
  uint32_t high, low;
  if (text.length != NX_HEX_KEY_BYTES || !nx_hex8(nx_load64(text.data), &high) ||
      !nx_hex8(nx_load64(text.data + 8), &low))
    return false;
  *number = (uint64_t)high << 32 | low;
  return true;
}

static inline void nx_hex_text(uint64_t number, uint8_t text[NX_HEX_KEY_BYTES]) {
  for (uint32_t i = 0; i < NX_HEX_KEY_BYTES; i++)
    text[i] = (uint8_t)"0123456789abcdef"[number >> (60 - 4 * i) & 15];
}

/* The footprint that the original reports (5.2 of the protocol's description). */
#define NX_ACCOUNTED_CHANNEL_BYTES 525376u
#define NX_ACCOUNTED_RECORD_BYTES 56u

/* Whether `bytes` more would pass the limit on all records; a limit of 0 is none. */
static inline bool nx_is_swarm_size_exceeded(const nx_store *store, uint64_t bytes_max, uint64_t bytes) {
  if (bytes_max == 0) return false;
  return (uint64_t)NX_ACCOUNTED_CHANNEL_BYTES * nx_store_channel_count(store) +
             NX_ACCOUNTED_RECORD_BYTES * nx_store_swarm_records(store) + nx_store_swarm_value_bytes(store) +
             bytes >
         bytes_max;
}

/*
 * Records on their way from another node: this one owns their keys already and takes writes, while older values still
 * arrive. What lies outside `settled` is such a key. A value that is here is newer than one that arrives, and a record that
 * is removed here leaves a mark, an empty value that expires, so that it does not come back.
 */
typedef struct {
  uint64_t settled_min, settled_max;
  bool is_arriving; /* else all that the node owns is settled */
} nx_arrival;

#define NX_REMOVAL_MARK_MS (INT64_C(7) * 24 * 3600 * 1000)

static inline bool nx_may_arrive(const nx_arrival *arrival, uint64_t number) {
  return arrival->is_arriving && !nx_is_in_range(number, arrival->settled_min, arrival->settled_max);
}

/* Removes a record of a channel, which is NULL when there is none of that name. */
static inline void nx_swarm_remove(nx_store *store, const nx_arrival *arrival, nx_slice name, nx_channel *channel,
                                   uint64_t number, int64_t now_ms) {
  uint8_t text[NX_HEX_KEY_BYTES];
  nx_hex_text(number, text);
  nx_slice key = {text, sizeof text};
  if (nx_may_arrive(arrival, number)) {
    if (channel == NULL) channel = nx_store_channel(store, name, true);
    if (channel != NULL && nx_channel_put(channel, key, (nx_slice){text, 0}, now_ms + NX_REMOVAL_MARK_MS) == 0) return;
  }
  if (channel != NULL) nx_channel_remove(channel, key, now_ms);
}

static inline uint8_t *nx_reserve(nx_buffer *buffer, uint64_t length) {
  if (__builtin_expect(buffer->capacity - buffer->length < length, 0)) nx_buffer_reserve(buffer, length);
  return buffer->data + buffer->length;
}

static inline void nx_append_u64(nx_buffer *to, uint64_t value) {
  nx_store64(nx_reserve(to, 8), value);
  to->length += 8;
}

static inline void nx_append_array(nx_buffer *to, nx_slice array) {
  uint8_t *at = nx_reserve(to, 8 + array.length);
  nx_store64(at, array.length);
  nx_copy(at + 8, array.data, array.length);
  to->length += 8 + array.length;
}

/* Appends `content`, compressed, as one array, and forgets it. */
static inline void nx_append_batch(nx_buffer *to, nx_buffer *content, nx_lzo_table *table) {
  uint8_t *at = nx_reserve(to, 16 + nx_lzo_bound(content->length));
  uint64_t stream = nx_lzo_encode(content->data, content->length, at + 16, table);
  nx_store64(at, 8 + stream);
  nx_store64(at + 8, content->length);
  to->length += 16 + stream;
  content->length = 0;
}

#endif
