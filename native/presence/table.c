/* See table.h. Ids are hashes, so the first two bytes of an id part the records evenly before they are compared. */
#include "table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../bytes.h"
#include "sha256.h"

#define PARTS 65536u
#define COUNT_MAX 0x7fffffffu

typedef struct {
  const uint8_t *records;
  uint64_t record_len, id_len;
} table_records;

static const uint8_t *at(const table_records *r, uint32_t position) { return r->records + position * r->record_len; }

/* By id, then by the whole record, then by arrival: no two are equal, so any sort gives one result. */
static int compare(const void *one, const void *other, void *context) {
  uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
  const table_records *r = context;
  int difference = memcmp(at(r, a), at(r, b), r->record_len);
  return difference != 0 ? difference : a < b ? -1 : 1;
}

static uint32_t part_of(const uint8_t *record) { return (uint32_t)record[0] << 8 | record[1]; }

/* Sorted order of all records: parted by two bytes, then each part sorted. */
static void sort(const table_records *r, uint64_t count, uint32_t *order, uint32_t *ends) {
  for (uint64_t i = 0; i < count; i++) ends[part_of(at(r, (uint32_t)i))]++;
  for (uint32_t part = 1; part < PARTS; part++) ends[part] += ends[part - 1];
  for (uint64_t i = count; i-- > 0;) order[--ends[part_of(at(r, (uint32_t)i))]] = (uint32_t)i;
  /* `ends` holds the beginnings by now. */
  for (uint32_t part = 0; part < PARTS; part++) {
    uint64_t end = part + 1 < PARTS ? ends[part + 1] : count;
    if (end - ends[part] > 1) qsort_r(order + ends[part], end - ends[part], sizeof *order, compare, (void *)r);
  }
}

static bool is_same(const table_records *r, uint32_t a, uint32_t b, uint32_t rule) {
  return memcmp(at(r, a), at(r, b), rule == NX_PRESENCE_EACH ? r->record_len : r->id_len) == 0;
}

/* The one of two records under one id that stays; `b` is not smaller than `a`. */
static uint32_t survivor(uint32_t a, uint32_t b, uint32_t rule) {
  if (rule == NX_PRESENCE_LARGEST) return b;
  return a < b ? a : b;
}

int64_t nx_presence_order(const uint8_t *records, uint64_t count, uint64_t record_len, uint64_t id_len,
                          uint32_t rule, uint32_t *order) {
  if (count > COUNT_MAX || id_len < 2 || id_len > record_len || rule > NX_PRESENCE_FIRST) return -EINVAL;
  uint32_t *ends = calloc(PARTS, sizeof *ends);
  if (ends == NULL) return -ENOMEM;
  table_records r = {records, record_len, id_len};
  sort(&r, count, order, ends);
  free(ends);
  uint64_t kept = 0;
  for (uint64_t i = 0; i < count; i++) {
    if (kept > 0 && is_same(&r, order[kept - 1], order[i], rule)) {
      order[kept - 1] = survivor(order[kept - 1], order[i], rule);
    } else {
      order[kept++] = order[i];
    }
  }
  return (int64_t)kept;
}

/* The buckets of an id, numbered over all partitions; returns how many there are. See protocol/layout.ts. */
static uint32_t places(const uint8_t *key, uint64_t key_len, const uint8_t *id, uint64_t id_len, uint64_t rows,
                       uint64_t partitions, uint64_t *buckets) {
  uint8_t message[NX_SHA256_SHORT_MAX], digest[32];
  memcpy(message, key, key_len);
  memcpy(message + key_len, id, id_len);
  nx_sha256_short(message, (uint32_t)(key_len + id_len), digest);
  uint64_t bucket = nx_load64(digest) % rows;
  buckets[0] = bucket;
  if (partitions == 1) return 1;
  uint64_t chosen[NX_PRESENCE_CHOICES];
  for (uint32_t choice = 0; choice < NX_PRESENCE_CHOICES; choice++) {
    uint64_t partition = nx_load32(digest + 8 + 4 * choice) % partitions;
    for (uint32_t i = 0; i < choice; i++) {
      if (chosen[i] != partition) continue;
      partition = (partition + 1) % partitions;
      i = UINT32_MAX; /* look at all earlier ones again */
    }
    chosen[choice] = partition;
    buckets[choice] = partition * rows + bucket;
  }
  return NX_PRESENCE_CHOICES;
}

static bool fits(uint64_t key_len, uint64_t id_len, uint64_t rows, uint64_t partitions) {
  bool has_choices = partitions == 1 || partitions >= NX_PRESENCE_CHOICES;
  return key_len + id_len <= NX_SHA256_SHORT_MAX && rows > 0 && rows <= COUNT_MAX && has_choices &&
         partitions <= COUNT_MAX / rows;
}

/*
 * Counts the records of each bucket under one key and returns the most; `ids` are the ids behind each other. Ends early
 * when a bucket reaches `enough`.
 */
static uint32_t fullest(const uint8_t *ids, uint64_t id_len, uint64_t count, const uint8_t *key, uint64_t key_len,
                        uint64_t rows, uint64_t partitions, uint32_t enough, uint32_t *loads) {
  uint32_t most = 0;
  memset(loads, 0, partitions * rows * sizeof *loads);
  for (uint64_t i = 0; i < count && most < enough; i++) {
    uint64_t buckets[NX_PRESENCE_CHOICES];
    uint32_t copies = places(key, key_len, ids + i * id_len, id_len, rows, partitions, buckets);
    for (uint32_t copy = 0; copy < copies; copy++) {
      uint32_t load = ++loads[buckets[copy]];
      if (load > most) most = load;
    }
  }
  return most;
}

int64_t nx_presence_flattest(const uint8_t *records, uint64_t record_len, uint64_t id_len, const uint32_t *order,
                             uint64_t count, const uint8_t *keys, uint64_t key_count, uint64_t key_len,
                             uint64_t rows, uint64_t partitions, uint32_t *bucket_size, uint32_t *loads) {
  if (!fits(key_len, id_len, rows, partitions) || key_count == 0) return -EINVAL;
  /* Read once for each key: side by side, not spread over the records. */
  uint8_t *ids = malloc(count * id_len + 1);
  if (ids == NULL) return -ENOMEM;
  for (uint64_t i = 0; i < count; i++) memcpy(ids + i * id_len, records + order[i] * record_len, id_len);
  uint64_t best = 0;
  uint32_t least = UINT32_MAX;
  for (uint64_t i = 0; i < key_count; i++) {
    uint32_t most = fullest(ids, id_len, count, keys + i * key_len, key_len, rows, partitions, least, loads);
    if (most >= least) continue;
    least = most;
    best = i;
  }
  *bucket_size = fullest(ids, id_len, count, keys + best * key_len, key_len, rows, partitions, UINT32_MAX, loads);
  free(ids);
  return (int64_t)best;
}

int64_t nx_presence_fill(const uint8_t *records, uint64_t record_len, uint64_t id_len, const uint32_t *order,
                         uint64_t count, const uint8_t *key, uint64_t key_len, uint64_t rows, uint64_t partitions,
                         uint64_t bucket_size, uint64_t stride, uint32_t is_descending, uint32_t *loads,
                         uint8_t *table) {
  if (!fits(key_len, id_len, rows, partitions) || bucket_size * record_len > stride) return -EINVAL;
  for (uint64_t i = 0; i < count; i++) {
    const uint8_t *record = records + order[is_descending ? count - 1 - i : i] * record_len;
    uint64_t buckets[NX_PRESENCE_CHOICES];
    uint32_t copies = places(key, key_len, record, id_len, rows, partitions, buckets);
    for (uint32_t copy = 0; copy < copies; copy++) {
      uint32_t *left = loads + buckets[copy];
      if (*left == 0 || *left > bucket_size) return -EINVAL;
      memcpy(table + buckets[copy] * stride + (bucket_size - *left) * record_len, record, record_len);
      *left -= 1;
    }
  }
  return 0;
}
