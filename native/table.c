/* Linear hashing over cache-line buckets; see table.h for the layout and the invariants. */
#include "table.h"

#include "nx.h"

#define CHAINED 0x80u
#define SLOTS 7u
#define CHAINED_SLOTS 6u
#define ADDRESS_BITS 48
#define ADDRESS_MASK ((UINT64_C(1) << ADDRESS_BITS) - 1)
#define STORED_BITS_FROM 10u
#define STORED_BITS_TO 34u
#define TAG_FROM 26u

#define CACHE_LINE_BYTES 64u
#define PREFETCH_HEAD_BYTES (2 * CACHE_LINE_BYTES)
/* Of 16 records this fits the innermost cache of any processor; of longer ones the processor itself guesses what comes next. */
#define PREFETCH_BYTES_MAX 2048u

/* Records for each bucket: split above 5, merge below 2. */
#define SPLIT_ABOVE(buckets) ((buckets) * 5)
#define MERGE_BELOW(buckets) ((buckets) * 2)

static uint8_t tag_of(uint64_t hash) { return (uint8_t)(hash >> TAG_FROM); }
static uint64_t upper_of(uint64_t hash) { return (hash >> STORED_BITS_FROM & 0xffff) << ADDRESS_BITS; }
static nx_rec *record_of(uint64_t entry) { return (nx_rec *)(uintptr_t)(entry & ADDRESS_MASK); }

static uint64_t entry_of(uint64_t hash, const nx_rec *rec) {
  uint64_t address = (uint64_t)(uintptr_t)rec;
  NX_ASSERT(address <= ADDRESS_MASK);
  return upper_of(hash) | address;
}

static bool is_chained(const nx_bucket *bucket) { return (bucket->state & CHAINED) != 0; }
static uint32_t count_of(const nx_bucket *bucket) { return bucket->state & 0x0f; }
static nx_bucket *next_of(const nx_bucket *bucket) {
  return is_chained(bucket) ? (nx_bucket *)(uintptr_t)bucket->entries[CHAINED_SLOTS] : NULL;
}

static nx_bucket *bucket_at(const nx_table *table, uint64_t index) {
  return nx_paged_at(&table->buckets, index);
}

static uint64_t index_of(const nx_table *table, uint64_t hash) {
  uint64_t index = hash & table->mask;
  return index < table->bucket_count ? index : index & (table->mask >> 1);
}

static void set_bucket_count(nx_table *table, uint64_t count) {
  table->bucket_count = count;
  table->level = (uint8_t)(63 - __builtin_clzll(count));
  table->mask = (UINT64_C(2) << table->level) - 1;
}

bool nx_table_init(nx_table *table, nx_slab *slab, nx_seed seed, bool force) {
  *table = (nx_table){.slab = slab, .seed = seed};
  nx_paged_init(&table->buckets, sizeof(nx_bucket));
  if (!nx_paged_reserve(&table->buckets, slab, 1, force)) return false;
  set_bucket_count(table, 1);
  bucket_at(table, 0)->state = 0;
  return true;
}

void nx_table_free(nx_table *table) {
  NX_ASSERT(table->records == 0 && table->overflow_count == 0);
  nx_paged_free(&table->buckets, table->slab);
}

uint64_t nx_table_bytes(const nx_table *table) {
  return (table->buckets.capacity + table->overflow_count) * sizeof(nx_bucket) +
         table->buckets.directory_capacity * sizeof(void *);
}

/* --- finding -------------------------------------------------------------------------------------------- */

/* One bit (the top one of its byte) for each entry whose tag is `tag`. */
static uint64_t matches_of(const nx_bucket *bucket, uint8_t tag) {
  const uint64_t low7 = UINT64_C(0x7f7f7f7f7f7f7f7f);
  uint64_t differences = nx_load64(bucket->tags) ^ tag * UINT64_C(0x0101010101010101);
  uint64_t equal = ~(((differences & low7) + low7) | differences | low7);
  return equal & ((UINT64_C(1) << (8 * count_of(bucket))) - 1);
}

nx_place nx_table_find(const nx_table *table, const nx_key *key) {
  nx_bucket *bucket = bucket_at(table, index_of(table, key->hash));
  uint8_t tag = tag_of(key->hash);
  uint64_t upper = upper_of(key->hash);
  do {
    for (uint64_t matches = matches_of(bucket, tag); matches != 0; matches &= matches - 1) {
      uint32_t i = (uint32_t)__builtin_ctzll(matches) / 8;
      uint64_t entry = bucket->entries[i];
      if ((entry & ~ADDRESS_MASK) == upper && nx_rec_has_key(record_of(entry), key))
        return (nx_place){bucket, i};
    }
  } while ((bucket = next_of(bucket)) != NULL);
  return (nx_place){NULL, 0};
}

void nx_table_prefetch_bucket(const nx_table *table, uint64_t hash) {
  __builtin_prefetch(bucket_at(table, index_of(table, hash)));
}

const nx_rec *nx_table_prefetch_head(const nx_table *table, uint64_t hash) {
  const nx_bucket *bucket = bucket_at(table, index_of(table, hash));
  uint64_t matches = matches_of(bucket, tag_of(hash));
  if (matches == 0) return NULL;
  const nx_rec *rec = record_of(bucket->entries[__builtin_ctzll(matches) / 8]);
  for (uint32_t at = 0; at < PREFETCH_HEAD_BYTES; at += CACHE_LINE_BYTES) __builtin_prefetch(rec + at);
  return rec;
}

void nx_table_prefetch_rest(const nx_rec *rec) {
  uint64_t bytes = nx_rec_bytes(rec);
  if (bytes > PREFETCH_BYTES_MAX) bytes = PREFETCH_BYTES_MAX;
  /* A record may begin anywhere in its first line. */
  for (uint64_t at = PREFETCH_HEAD_BYTES; at < bytes + CACHE_LINE_BYTES - 1; at += CACHE_LINE_BYTES)
    __builtin_prefetch(rec + at);
}

nx_place nx_table_find_record(const nx_table *table, uint64_t hash, const nx_rec *rec) {
  nx_bucket *bucket = bucket_at(table, index_of(table, hash));
  do {
    for (uint32_t i = 0; i < count_of(bucket); i++) {
      if (record_of(bucket->entries[i]) == rec) return (nx_place){bucket, i};
    }
  } while ((bucket = next_of(bucket)) != NULL);
  return (nx_place){NULL, 0};
}

nx_rec *nx_table_at(nx_place place) { return record_of(place.bucket->entries[place.index]); }

void nx_table_replace(nx_place place, nx_rec *rec) {
  uint64_t *entry = &place.bucket->entries[place.index];
  NX_ASSERT((uint64_t)(uintptr_t)rec <= ADDRESS_MASK);
  *entry = (*entry & ~ADDRESS_MASK) | (uint64_t)(uintptr_t)rec;
}

/* --- chains --------------------------------------------------------------------------------------------- */

static void set_entry(nx_bucket *bucket, uint32_t i, uint8_t tag, uint64_t entry) {
  bucket->tags[i] = tag;
  bucket->entries[i] = entry;
}

/* The last bucket of the chain, with room for one more entry; NULL when the slab refuses. */
static nx_bucket *room_in(nx_table *table, nx_bucket *bucket, bool force) {
  while (is_chained(bucket)) bucket = next_of(bucket);
  if (count_of(bucket) < SLOTS) return bucket;
  nx_bucket *overflow = nx_slab_alloc(table->slab, sizeof *overflow, force);
  if (overflow == NULL) return NULL;
  table->overflow_count += 1;
  set_entry(overflow, 0, bucket->tags[CHAINED_SLOTS], bucket->entries[CHAINED_SLOTS]);
  overflow->state = 1;
  bucket->entries[CHAINED_SLOTS] = (uint64_t)(uintptr_t)overflow;
  bucket->state = CHAINED | CHAINED_SLOTS;
  return overflow;
}

static void append(nx_table *table, nx_bucket *bucket, uint8_t tag, uint64_t entry) {
  bucket = room_in(table, bucket, true);
  set_entry(bucket, count_of(bucket), tag, entry);
  bucket->state += 1;
}

static void free_overflow(nx_table *table, nx_bucket *overflow) {
  nx_slab_free(table->slab, overflow, sizeof *overflow);
  table->overflow_count -= 1;
}

/* Moves every entry of `from` (a copy of a head bucket, and its chain) to the bucket that it now hashes to.
 */
static void redistribute(nx_table *table, const nx_bucket *from, nx_bucket *low, nx_bucket *high,
                         uint32_t bit) {
  const nx_bucket *bucket = from;
  while (bucket != NULL) {
    for (uint32_t i = 0; i < count_of(bucket); i++) {
      uint64_t entry = bucket->entries[i];
      uint64_t bits;
      if (bit < STORED_BITS_FROM) bits = nx_rec_hash(record_of(entry), table->seed);
      else bits = entry >> ADDRESS_BITS << STORED_BITS_FROM | (uint64_t)bucket->tags[i] << TAG_FROM;
      append(table, bits >> bit & 1 ? high : low, bucket->tags[i], entry);
    }
    nx_bucket *next = next_of(bucket);
    if (bucket != from) free_overflow(table, (nx_bucket *)bucket);
    bucket = next;
  }
}

/* --- growing and shrinking ------------------------------------------------------------------------------ */

/* Splits the next bucket. Does nothing when memory is short: chains get longer, the table stays right. */
static void split_one(nx_table *table) {
  uint64_t count = table->bucket_count;
  if (table->level >= STORED_BITS_TO || !nx_slab_has_pages(table->slab, 3)) return;
  if (!nx_paged_reserve(&table->buckets, table->slab, count + 1, false)) return;
  nx_bucket *low = bucket_at(table, count & (table->mask >> 1));
  nx_bucket *high = bucket_at(table, count);
  nx_bucket old = *low;
  low->state = 0;
  high->state = 0;
  redistribute(table, &old, low, high, table->level);
  set_bucket_count(table, count + 1);
}

/* Merges the last bucket into the one it was split from. */
static void merge_one(nx_table *table) {
  uint64_t last = table->bucket_count - 1;
  if (last == 0 || !nx_slab_has_pages(table->slab, 1)) return;
  set_bucket_count(table, last);
  nx_bucket old = *bucket_at(table, last);
  nx_bucket *low = bucket_at(table, last & (table->mask >> 1));
  redistribute(table, &old, low, low, STORED_BITS_FROM);
  nx_paged_trim(&table->buckets, table->slab, last);
}

bool nx_table_reserve(nx_table *table, uint64_t hash, bool force) {
  return room_in(table, bucket_at(table, index_of(table, hash)), force) != NULL;
}

void nx_table_insert(nx_table *table, uint64_t hash, nx_rec *rec) {
  append(table, bucket_at(table, index_of(table, hash)), tag_of(hash), entry_of(hash, rec));
  table->records += 1;
  for (int i = 0; i < 2 && table->records > SPLIT_ABOVE(table->bucket_count); i++) split_one(table);
}

void nx_table_remove(nx_table *table, uint64_t hash, nx_place place) {
  nx_bucket *before = NULL;
  nx_bucket *last = bucket_at(table, index_of(table, hash));
  for (; is_chained(last); last = next_of(last)) before = last;
  uint32_t i = count_of(last) - 1;
  set_entry(place.bucket, place.index, last->tags[i], last->entries[i]);
  last->state -= 1;
  if (i == 0 && before != NULL) {
    before->state = CHAINED_SLOTS;
    free_overflow(table, last);
  }
  table->records -= 1;
  for (int merges = 0; merges < 2 && table->records < MERGE_BELOW(table->bucket_count); merges++)
    merge_one(table);
}

/* --- visiting ------------------------------------------------------------------------------------------- */

static void visit_chain(const nx_bucket *bucket, nx_table_visit_fn visit, void *context) {
  for (; bucket != NULL; bucket = next_of(bucket)) {
    for (uint32_t i = 0; i < count_of(bucket); i++) __builtin_prefetch(record_of(bucket->entries[i]));
    for (uint32_t i = 0; i < count_of(bucket); i++) visit(context, record_of(bucket->entries[i]));
  }
}

static uint64_t reverse64(uint64_t value) {
  value = (value >> 1 & UINT64_C(0x5555555555555555)) | (value & UINT64_C(0x5555555555555555)) << 1;
  value = (value >> 2 & UINT64_C(0x3333333333333333)) | (value & UINT64_C(0x3333333333333333)) << 2;
  value = (value >> 4 & UINT64_C(0x0f0f0f0f0f0f0f0f)) | (value & UINT64_C(0x0f0f0f0f0f0f0f0f)) << 4;
  return __builtin_bswap64(value);
}

uint64_t nx_table_order(uint64_t hash) { return reverse64(hash); }

uint64_t nx_table_scan(const nx_table *table, uint64_t cursor, nx_table_visit_fn visit, void *context) {
  uint64_t index = index_of(table, cursor);
  visit_chain(bucket_at(table, index), visit, context);
  /* A bucket is `depth` bits wide: one more than the level where the split has already passed. */
  uint64_t half = UINT64_C(1) << table->level;
  bool is_split = index >= half || index < table->bucket_count - half;
  uint64_t depth_mask = is_split ? table->mask : table->mask >> 1;
  return reverse64(reverse64(cursor | ~depth_mask) + 1);
}

typedef struct {
  nx_seed seed;
  uint64_t from; /* reversed hashes below this were met */
  nx_table_visit_fn visit;
  void *context;
} visit_unseen;

static void visit_if_unseen(void *context, nx_rec *rec) {
  visit_unseen *to = context;
  if (reverse64(nx_rec_hash(rec, to->seed)) >= to->from) to->visit(to->context, rec);
}

uint64_t nx_table_scan_unseen(const nx_table *table, uint64_t cursor, nx_table_visit_fn visit,
                              void *context) {
  if (index_of(table, cursor) == cursor) return nx_table_scan(table, cursor, visit, context);
  visit_unseen to = {table->seed, reverse64(cursor), visit, context};
  return nx_table_scan(table, cursor, visit_if_unseen, &to);
}

uint32_t nx_table_drain(nx_table *table, nx_table_visit_fn visit, void *context) {
  uint64_t last = table->bucket_count - 1;
  nx_bucket *head = bucket_at(table, last);
  visit_chain(head, visit, context);
  uint32_t records = 0;
  for (nx_bucket *bucket = head; bucket != NULL;) {
    nx_bucket *next = next_of(bucket);
    records += count_of(bucket);
    if (bucket != head) free_overflow(table, bucket);
    bucket = next;
  }
  head->state = 0;
  NX_ASSERT(records <= table->records && (last != 0 || records == table->records));
  table->records -= records;
  if (last != 0) {
    set_bucket_count(table, last);
    nx_paged_trim(&table->buckets, table->slab, last);
  }
  return records;
}
