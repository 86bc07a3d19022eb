/*
 * Memtables: the records of one channel that are not in a file yet, in the order in which they were written.
 *
 * One thread appends; others may read the first `count` records of a memtable that they were told of, because a
 * record never moves and never changes once it is written. Who made a memtable counts its references and frees
 * it; readers do neither. In a chunk, unaligned:
 *
 *   u64 key | u32 length | value
 *
 * A crash takes a memtable; the append log holds what was acknowledged of it.
 */
#ifndef NX_LOGFILES_MEMTABLE_H
#define NX_LOGFILES_MEMTABLE_H
#include "page.h"

typedef struct nx_memtable_chunk {
  struct nx_memtable_chunk *next;
  uint64_t used, capacity;
  uint8_t data[];
} nx_memtable_chunk;

typedef struct nx_memtable {
  nx_memtable_chunk *first, *last;
  struct nx_memtable *next; /* in a list of its owner */
  uint64_t records;
  uint64_t value_bytes;
  uint64_t memory_bytes;
  uint64_t first_number; /* of its first record; those behind it follow without a gap */
  uint64_t key_min, key_max;
  uint64_t last_bucket;
  bool is_ordered; /* buckets ascend in the order of writing */
} nx_memtable;

#define NX_MEMTABLE_HEADER_BYTES 12u

nx_memtable *nx_memtable_new(uint64_t first_number);
void nx_memtable_free(nx_memtable *memtable);
void nx_memtable_append(nx_memtable *memtable, uint64_t key, const uint8_t *value, uint64_t length);

typedef struct {
  uint64_t bucket;
  const uint8_t *record;
} nx_memtable_entry;

/* Hands out the records `from` to `count` - 1 whose keys are in low..high as pages, in the order of pages. */
typedef struct {
  nx_memtable_entry *entries;
  uint64_t length, at;
  nx_page_builder builder;
} nx_memtable_reader;

nx_memtable_reader *nx_memtable_reader_new(const nx_memtable *memtable, uint64_t from, uint64_t count,
                                           uint64_t low, uint64_t high);
/* Puts the next page into `out`, made of records until it has `bytes_target`; returns its records, 0 at the end. */
uint64_t nx_memtable_reader_next(nx_memtable_reader *reader, uint64_t bytes_target, nx_buffer *out);
void nx_memtable_reader_free(nx_memtable_reader *reader);

#endif
