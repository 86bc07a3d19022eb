/*
 * A hash table of records that grows and shrinks one bucket at a time (linear hashing: Witold Litwin, 1980).
 *
 * There is no second table and no rehashing phase: each insertion past the load factor splits one bucket,
 * each removal far below it merges one, so no operation is slow and memory never peaks. A bucket is one cache
 * line:
 *
 *   bytes 0-6   a tag of 8 hash bits for each entry
 *   byte  7     number of entries (0-7); bit 7: chained, entry 6 is then the address of an overflow bucket
 *   bytes 8-63  seven entries: record address (48 bits), above it 16 more hash bits
 *
 * Hash bits: 0-9 choose the bucket in small tables; 10-25 are those in the entry, 26-33 the tag. A split of a
 * table with 1024 or more buckets therefore reads no record.
 *
 * Cursor: the low bits name a bucket; it advances in bit-reversed order (Pieter Noordhuis' scheme for
 * power-of-two tables). Splits and merges keep a bucket's records contiguous in that order, so a scan meets
 * every record that stays, whatever happens to the table meanwhile; after a merge it may meet some twice.
 *
 * Invariant: in a chain all buckets but the last hold six entries; the table holds at least one bucket.
 */
#ifndef NX_TABLE_H
#define NX_TABLE_H
#include <stdbool.h>
#include <stdint.h>
#include "paged.h"
#include "record.h"
#include "siphash.h"
#include "slab.h"

typedef struct {
  uint8_t tags[7];
  uint8_t state;
  uint64_t entries[7];
} nx_bucket;
_Static_assert(sizeof(nx_bucket) == 64, "one cache line");

typedef struct {
  nx_slab *slab;
  nx_seed seed;
  nx_paged buckets;
  uint64_t bucket_count;
  uint64_t overflow_count;
  uint64_t records;
  uint64_t mask; /* 2^(level+1) - 1, where 2^level <= bucket_count */
  uint8_t level;
} nx_table;

/* Where a record is. Valid until the table changes. */
typedef struct {
  nx_bucket *bucket; /* NULL: not found */
  uint32_t index;
} nx_place;

/* False when the slab refuses. */
bool nx_table_init(nx_table *table, nx_slab *slab, nx_seed seed, bool force);
/* Frees the buckets; the records must be gone. */
void nx_table_free(nx_table *table);

nx_place nx_table_find(const nx_table *table, const nx_key *key);
/*
 * Hints, in three steps so that the misses of several hashes overlap: first the bucket, then the head of the record that it
 * seems to name (NULL: none), then, when the heads have arrived, the rest of those records.
 */
void nx_table_prefetch_bucket(const nx_table *table, uint64_t hash);
const nx_rec *nx_table_prefetch_head(const nx_table *table, uint64_t hash);
void nx_table_prefetch_rest(const nx_rec *rec);
/* The place of this very record. */
nx_place nx_table_find_record(const nx_table *table, uint64_t hash, const nx_rec *rec);
nx_rec *nx_table_at(nx_place place);
/* Puts another record with the same key into a place. */
void nx_table_replace(nx_place place, nx_rec *rec);

/* Makes sure that the next insertion of this hash needs no memory. False when the slab refuses. */
bool nx_table_reserve(nx_table *table, uint64_t hash, bool force);
/* The key must be absent and room reserved. */
void nx_table_insert(nx_table *table, uint64_t hash, nx_rec *rec);
void nx_table_remove(nx_table *table, uint64_t hash, nx_place place);

/* Visits the bucket at `cursor` and returns the next cursor, 0 at the end. The visitor must not change the
 * table. */
typedef void (*nx_table_visit_fn)(void *context, nx_rec *rec);
uint64_t nx_table_scan(const nx_table *table, uint64_t cursor, nx_table_visit_fn visit, void *context);
/* The same for a cursor that a scan returned, without the records that scan has met: after a merge a bucket
 * holds records from before the cursor. */
uint64_t nx_table_scan_unseen(const nx_table *table, uint64_t cursor, nx_table_visit_fn visit, void *context);
/* Scans visit records in ascending order of this; it is its own inverse: the cursor of an order is nx_table_order of it. */
uint64_t nx_table_order(uint64_t hash);
/* Empties the last bucket, handing each record over, and drops it unless it is the only one. Returns its
 * records. */
uint32_t nx_table_drain(nx_table *table, nx_table_visit_fn visit, void *context);

uint64_t nx_table_bytes(const nx_table *table);

#endif
