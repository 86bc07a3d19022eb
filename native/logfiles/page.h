/*
 * Pages: up to some megabytes of records of one channel in columns, the form in which records are compressed,
 * read and searched, wherever they come from (a segment, memory, the bucket files of the originals).
 *
 * A page, integers little-endian:
 *
 *   offset  bytes  field
 *        0      4  records, at least 1
 *        4      4  bytes of the key column
 *        8      4  bytes of the length column
 *       12      4  bytes of the values
 *       16      k  keys: of each record the difference to the key before (the first: to 0), zigzag, LEB128
 *        …      l  lengths of the values, LEB128
 *        …      v  values, one behind the other
 *
 * Order: ascending bucket (key >> 12); inside a bucket the order in which records were written. Values stand
 * together so that one search runs over all of them, and so that they compress as the text they are.
 *
 * Invariant: nx_page_load checks every length and the order before anything is used. A crash loses nothing here:
 * there is nothing but memory.
 */
#ifndef NX_LOGFILES_PAGE_H
#define NX_LOGFILES_PAGE_H
#include <stdbool.h>
#include <stdint.h>
#include "buffer.h"
#include "nx.h"

#define NX_BUCKET_SHIFT 12u
/* The longest value, by the protocol. */
#define NX_LOG_VALUE_BYTES_MAX 65536u

/* Collects records for one page. Zeroed to begin with. */
typedef struct {
  nx_buffer keys, lengths, values;
  uint64_t records;
  uint64_t previous_key;
  uint64_t key_min, key_max;
} nx_page_builder;

void nx_page_builder_add(nx_page_builder *builder, uint64_t key, const uint8_t *value, uint64_t length);
/* What the page would take. */
static inline uint64_t nx_page_builder_bytes(const nx_page_builder *builder) {
  return 16 + builder->keys.length + builder->lengths.length + builder->values.length;
}
/* Replaces what is in `out` by the page, if there is a record at all; the builder is empty afterwards. */
void nx_page_builder_finish(nx_page_builder *builder, nx_buffer *out);
void nx_page_builder_free(nx_page_builder *builder);

/* A page that is being read. Zeroed to begin with. */
typedef struct {
  nx_buffer bytes;
  uint64_t *keys; /* of each record */
  uint64_t *ends; /* of each value, from `values` on */
  uint64_t capacity;
  const uint8_t *values;
  uint64_t count;
  uint64_t at; /* the next record */
} nx_page;

/* Copies and checks; 0, or -EBADMSG when it is no page. `at` is 0 afterwards. */
int nx_page_load(nx_page *page, const uint8_t *bytes, uint64_t length);
void nx_page_free(nx_page *page);

static inline uint64_t nx_page_value_start(const nx_page *page, uint64_t index) {
  return index == 0 ? 0 : page->ends[index - 1];
}

#endif
