/* The table: every record stays findable through all sizes, long chains, growth and shrinking; scans miss
 * nothing. */
#include <stdint.h>

#include "../table.h"
#include "tap.h"

static const nx_seed seed = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};

typedef struct {
  nx_slab slab;
  nx_table table;
} fixture;

static void set_up(fixture *f) {
  nx_slab_init(&f->slab, 0);
  CHECK(nx_table_init(&f->table, &f->slab, seed, false));
}

/* The record of number `n`, whose key is the 4 bytes of n. */
static void key_of(uint32_t n, uint8_t bytes[4], nx_key *key) {
  nx_store32(bytes, n);
  nx_key_make(key, (nx_slice){bytes, 4}, seed);
}

static void insert(fixture *f, uint32_t n) {
  uint8_t bytes[4];
  nx_key key;
  key_of(n, bytes, &key);
  nx_rec *rec = nx_slab_alloc(&f->slab, nx_rec_bytes_for(4, 0, false), false);
  nx_rec_set_header(rec, 4, 0, false, false);
  memcpy(rec + nx_rec_key_offset(false), bytes, 4);
  CHECK(nx_table_reserve(&f->table, key.hash, false));
  nx_table_insert(&f->table, key.hash, rec);
}

static nx_place find(const fixture *f, uint32_t n) {
  uint8_t bytes[4];
  nx_key key;
  key_of(n, bytes, &key);
  return nx_table_find(&f->table, &key);
}

static bool has(const fixture *f, uint32_t n) { return find(f, n).bucket != NULL; }

static void erase(fixture *f, uint32_t n) {
  uint8_t bytes[4];
  nx_key key;
  key_of(n, bytes, &key);
  nx_place place = nx_table_find(&f->table, &key);
  CHECK(place.bucket != NULL);
  if (place.bucket == NULL) return;
  nx_rec *rec = nx_table_at(place);
  CHECK(nx_table_find_record(&f->table, key.hash, rec).bucket == place.bucket);
  nx_table_remove(&f->table, key.hash, place);
  nx_slab_free(&f->slab, rec, nx_rec_bytes(rec));
}

static void tear_down(fixture *f) {
  CHECK(f->table.records == 0 && f->table.overflow_count == 0);
  if (f->table.records == 0 && f->table.overflow_count == 0) nx_table_free(&f->table);
  CHECK(f->slab.pages_used == 0);
  nx_slab_destroy(&f->slab);
}

static void every_size(void) {
  enum { N = 3000 };
  fixture f;
  set_up(&f);
  for (uint32_t n = 0; n < N; n++) {
    insert(&f, n);
    for (uint32_t i = n % 7; i <= n; i += n < 300 ? 1 : 7) CHECK(has(&f, i));
    CHECK(!has(&f, n + 1));
    CHECK(f.table.records <= f.table.bucket_count * 5);
  }
  for (uint32_t n = 0; n < N; n++) {
    erase(&f, n);
    CHECK(!has(&f, n));
    for (uint32_t i = n + 1 + n % 7; i < N; i += N - n < 300 ? 1 : 7) CHECK(has(&f, i));
  }
  CHECK(f.table.bucket_count == 1);
  tear_down(&f);
}

/* Past 1024 buckets splits use the stored hash bits, past 2 MiB of buckets many segments. */
static void large_size(void) {
  enum { N = 200000 };
  fixture f;
  set_up(&f);
  for (uint32_t n = 0; n < N; n++) insert(&f, n);
  for (uint32_t n = 0; n < N; n++) CHECK(has(&f, n));
  for (uint32_t n = N; n < 2 * N; n++) CHECK(!has(&f, n));
  CHECK(f.table.bucket_count >= 40000 && nx_table_bytes(&f.table) < N * 20u);
  for (uint32_t n = 0; n < N; n += 2) erase(&f, n);
  for (uint32_t n = 0; n < N; n++) CHECK(has(&f, n) == (n % 2 == 1));
  for (uint32_t n = 1; n < N; n += 2) erase(&f, n);
  tear_down(&f);
}

/* Keys whose hashes agree in eight bits share buckets: chains of hundreds. */
static void long_chains(void) {
  enum { N = 2000 };
  static uint32_t numbers[N];
  uint32_t found = 0;
  for (uint32_t n = 0; found < N; n++) {
    uint8_t bytes[4];
    nx_key key;
    key_of(n, bytes, &key);
    if ((key.hash & 0xff) == 0x5a) numbers[found++] = n;
  }
  fixture f;
  set_up(&f);
  for (uint32_t i = 0; i < N; i++) insert(&f, numbers[i]);
  CHECK(f.table.overflow_count > N / 8);
  for (uint32_t i = 0; i < N; i++) CHECK(has(&f, numbers[i]));
  uint64_t state = 3;
  for (uint32_t left = N; left != 0; left--) {
    uint32_t i = (uint32_t)(test_random(&state) % left);
    erase(&f, numbers[i]);
    numbers[i] = numbers[left - 1];
    if (left % 50 == 0) {
      for (uint32_t k = 0; k + 1 < left; k++) CHECK(has(&f, numbers[k]));
    }
  }
  tear_down(&f);
}

enum { STABLE = 2000, CHURN = 30000 };

static void mark_seen(void *context, nx_rec *rec) {
  uint32_t n = nx_load32(nx_rec_key(rec));
  if (n < STABLE) ((uint8_t *)context)[n] = 1;
}

/* The stable records must be met by every scan; the others come and go in waves that grow and shrink the
 * table. */
static void scan_survives_resizing(void) {
  uint64_t state = 11;
  for (int round = 0; round < 12; round++) {
    fixture f;
    set_up(&f);
    for (uint32_t n = 0; n < STABLE; n++) insert(&f, n);
    uint32_t low = STABLE, high = STABLE;
    bool is_growing = round % 2 == 0;
    if (!is_growing) {
      for (; high < STABLE + CHURN; high++) insert(&f, high);
    }
    static uint8_t seen[STABLE];
    memset(seen, 0, sizeof seen);
    uint64_t cursor = 0;
    uint32_t calls = 0;
    do {
      cursor = nx_table_scan(&f.table, cursor, mark_seen, seen);
      calls += 1;
      uint32_t burst = (uint32_t)(test_random(&state) % 60);
      if (test_random(&state) % 700 == 0) is_growing = !is_growing, burst *= 20;
      for (; burst != 0; burst--) {
        if (is_growing && high < STABLE + CHURN) insert(&f, high++);
        else if (low < high) erase(&f, low++);
      }
    } while (cursor != 0 && calls < 1000000);
    CHECK(cursor == 0);
    for (uint32_t n = 0; n < STABLE; n++) CHECK(seen[n]);
    for (; low < high; low++) erase(&f, low);
    for (uint32_t n = 0; n < STABLE; n++) erase(&f, n);
    tear_down(&f);
  }
}

static void any_cursor_is_safe(void) {
  fixture f;
  set_up(&f);
  for (uint32_t n = 0; n < 1000; n++) insert(&f, n);
  static uint8_t seen[STABLE];
  uint64_t state = 5;
  for (int i = 0; i < 1000; i++) {
    uint64_t cursor = test_random(&state);
    uint32_t calls = 0;
    while (cursor != 0 && calls++ < 2000) cursor = nx_table_scan(&f.table, cursor, mark_seen, seen);
    CHECK(cursor == 0);
  }
  for (uint32_t n = 0; n < 1000; n++) erase(&f, n);
  tear_down(&f);
}

static void free_drained(void *context, nx_rec *rec) { nx_slab_free(context, rec, nx_rec_bytes(rec)); }

static void drains(void) {
  fixture f;
  set_up(&f);
  for (uint32_t n = 0; n < 20000; n++) insert(&f, n);
  uint32_t drained = 0;
  while (f.table.records != 0) drained += nx_table_drain(&f.table, free_drained, &f.slab);
  CHECK(drained == 20000);
  tear_down(&f);
}

/* Without room for more buckets the chains grow and everything stays right. */
static void grows_chains_at_the_limit(void) {
  fixture f;
  set_up(&f);
  for (uint32_t n = 0; n < 10000; n++) insert(&f, n);
  f.slab.memory_bytes_max = f.slab.memory_bytes;
  uint64_t buckets = f.table.bucket_count;
  uint32_t n = 10000;
  for (; n < 12000; n++) {
    uint8_t bytes[4];
    nx_key key;
    key_of(n, bytes, &key);
    nx_rec *rec = nx_slab_alloc(&f.slab, nx_rec_bytes_for(4, 0, false), true);
    nx_rec_set_header(rec, 4, 0, false, false);
    memcpy(rec + nx_rec_key_offset(false), bytes, 4);
    CHECK(nx_table_reserve(&f.table, key.hash, true));
    nx_table_insert(&f.table, key.hash, rec);
  }
  CHECK(f.table.bucket_count == buckets);
  for (uint32_t i = 0; i < n; i++) CHECK(has(&f, i));
  for (uint32_t i = 0; i < n; i++) erase(&f, i);
  tear_down(&f);
}

/* The paper's vectors for SipHash-2-4: input is 0, 1, 2 …, of the length of the index. */
static void siphash_vectors(void) {
  static const struct {
    uint32_t length;
    uint64_t hash;
  } vectors[] = {{0, 0x726fdb47dd0e0e31u},
                 {1, 0x74f839c593dc67fdu},
                 {8, 0x93f5f5799a932462u},
                 {15, 0xa129ca6149be45e5u}};
  uint8_t input[16];
  for (uint8_t i = 0; i < 16; i++) input[i] = i;
  for (uint32_t i = 0; i < 4; i++)
    CHECK(nx_siphash_rounds(seed, input, vectors[i].length, 2, 4) == vectors[i].hash);
}

static bool is_compact(const char *text) {
  nx_key key;
  nx_key_make(&key, (nx_slice){(const uint8_t *)text, strlen(text)}, seed);
  return key.is_compact;
}

static void compact_keys(void) {
  CHECK(is_compact("0123456789abcdef") && is_compact("ffffffffffffffff") && is_compact("0000000000000000"));
  CHECK(!is_compact("0123456789abcde") && !is_compact("0123456789abcdef0") && !is_compact(""));
  for (uint32_t position = 0; position < 16; position++) {
    for (uint32_t byte = 0; byte < 256; byte++) {
      char text[17] = "0123456789abcdef";
      text[position] = (char)byte;
      nx_key key;
      nx_key_make(&key, (nx_slice){(const uint8_t *)text, 16}, seed);
      bool is_hex = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f');
      CHECK(key.is_compact == is_hex);
      if (!is_hex) continue;
      uint8_t rec[16], scratch[16];
      nx_rec_set_header(rec, 8, 0, true, false);
      memcpy(rec + 8, key.data, 8);
      nx_slice back = nx_rec_key_text(rec, scratch);
      CHECK(back.length == 16 && memcmp(back.data, text, 16) == 0);
      CHECK(nx_load64(key.data) == strtoull(text, NULL, 16));
    }
  }
}

int main(void) {
  TEST("SipHash gives the paper's vectors", siphash_vectors);
  TEST("exactly the keys of 16 lower-case hex digits are compact, and come back", compact_keys);
  TEST("all records are found at every size up and down", every_size);
  TEST("all records are found in a table of many segments", large_size);
  TEST("all records are found in chains of hundreds of buckets", long_chains);
  TEST("a scan meets every record that stays while the table grows and shrinks", scan_survives_resizing);
  TEST("a scan from any cursor ends", any_cursor_is_safe);
  TEST("a drained table hands over every record", drains);
  TEST("a table that may not grow stays right", grows_chains_at_the_limit);
  TAP_END();
}
