/*
 * Random changes of a store at its memory limit, beside a plain array of records: under the sanitizers this
 * finds bytes that the contract suite (which runs without them) would not miss. The seed is fixed;
 * NX_TEST_SEED sets another.
 */
#include <errno.h>
#include <stdint.h>

#include "../store.h"
#include "tap.h"

enum { KEYS = 400, STEPS = 60000 };

typedef struct {
  uint8_t *value; /* NULL: absent */
  uint64_t length;
  int64_t expires_at_ms;
} expected;

typedef struct {
  nx_store *store;
  nx_channel *channel;
  expected records[KEYS];
  uint64_t random;
  int64_t now_ms;
  uint32_t refused;
} stress;

static uint64_t pick(stress *s, uint64_t below) { return test_random(&s->random) % below; }

static nx_slice key_text(uint32_t k, char text[32]) {
  int length = snprintf(text, 32, k % 3 == 0 ? "%016x" : "record number %u", k);
  return (nx_slice){(const uint8_t *)text, (uint64_t)length};
}

static uint64_t random_length(stress *s) {
  switch (pick(s, 10)) {
    case 0:
      return pick(s, 40000);
    case 1:
      return pick(s, 4000);
    default:
      return pick(s, 300);
  }
}

/* An exact block of random bytes, so that a read past the end is seen. */
static uint8_t *random_bytes(stress *s, uint64_t length) {
  uint8_t *bytes = malloc(length == 0 ? 1 : length);
  for (uint64_t i = 0; i < length; i++) bytes[i] = (uint8_t)(s->random + i * 13 + (i >> 8));
  (void)pick(s, 2);
  return bytes;
}

static void forget(expected *record) {
  free(record->value);
  *record = (expected){NULL, 0, 0};
}

static void drop_if_expired(stress *s, expected *record) {
  if (record->value != NULL && record->expires_at_ms != 0 && record->expires_at_ms <= s->now_ms)
    forget(record);
}

static void check_record(stress *s, uint32_t k) {
  char text[32];
  nx_record got;
  expected *record = &s->records[k];
  drop_if_expired(s, record);
  bool is_there = nx_channel_get(s->channel, key_text(k, text), s->now_ms, &got);
  CHECK(is_there == (record->value != NULL));
  if (!is_there || record->value == NULL) return;
  CHECK(got.value.length == record->length && got.expires_at_ms == record->expires_at_ms);
  CHECK(got.value.length == record->length && memcmp(got.value.data, record->value, record->length) == 0);
}

static int64_t random_expiry(stress *s) {
  return pick(s, 3) == 0 ? s->now_ms + 1 + (int64_t)pick(s, 3000) : 0;
}

static void step_put(stress *s, uint32_t k) {
  char text[32];
  expected *record = &s->records[k];
  uint64_t length = random_length(s);
  uint8_t *bytes = random_bytes(s, length);
  int64_t expires_at_ms = random_expiry(s);
  int result = nx_channel_put(s->channel, key_text(k, text), (nx_slice){bytes, length}, expires_at_ms);
  if (result == -ENOMEM) {
    s->refused += 1;
    free(bytes);
    return;
  }
  CHECK(result == 0);
  forget(record);
  *record = (expected){bytes, length, expires_at_ms};
}

static void step_patch(stress *s, uint32_t k) {
  char text[32];
  expected *record = &s->records[k];
  drop_if_expired(s, record);
  uint64_t length = pick(s, 200), offset = pick(s, record->length + 100), length_after = 0;
  if (offset + length > 60000) return;
  uint8_t *bytes = random_bytes(s, length);
  int result = nx_channel_patch(s->channel, key_text(k, text), offset, (nx_slice){bytes, length}, s->now_ms,
                                &length_after);
  if (result == 0) {
    uint64_t end = offset + length > record->length ? offset + length : record->length;
    uint8_t *value = calloc(1, end == 0 ? 1 : end);
    if (record->length != 0) memcpy(value, record->value, record->length);
    if (length != 0) memcpy(value + offset, bytes, length);
    CHECK(length_after == end);
    free(record->value);
    record->value = value;
    record->length = end;
  } else {
    CHECK(result == -ENOMEM);
    s->refused += 1;
  }
  free(bytes);
}

static void step_other(stress *s, uint32_t k) {
  char text[32];
  expected *record = &s->records[k];
  drop_if_expired(s, record);
  bool was_there = record->value != NULL;
  if (pick(s, 2) == 0) {
    CHECK(nx_channel_remove(s->channel, key_text(k, text), s->now_ms) == was_there);
    forget(record);
  } else {
    int64_t expires_at_ms = random_expiry(s);
    CHECK(nx_channel_expire(s->channel, key_text(k, text), expires_at_ms, s->now_ms) == was_there);
    if (was_there) record->expires_at_ms = expires_at_ms;
  }
}

static void remove_channel(stress *s) {
  nx_store_channel_remove(s->store, s->channel);
  nx_slice name = {(const uint8_t *)"0", 1};
  for (s->channel = NULL; s->channel == NULL; nx_store_tick(s->store, s->now_ms, 50)) {
    s->channel = nx_store_channel(s->store, name, true);
  }
  for (uint32_t k = 0; k < KEYS; k++) forget(&s->records[k]);
}

/* The same records must come out of an export. */
static void check_export(stress *s) {
  nx_buffer out = {0};
  nx_export state = {0};
  uint64_t bad;
  nx_store *copy = nx_store_new_seeded(0, s->random, 2);
  while (nx_store_export(s->store, &state, 4096, &out) == 1) {
    CHECK(nx_store_replay(copy, out.data, out.length, &bad) >= 0);
    out.length = 0;
  }
  CHECK(nx_store_replay(copy, out.data, out.length, &bad) >= 0);
  stress other = *s;
  other.store = copy;
  other.channel = nx_store_channel(copy, (nx_slice){(const uint8_t *)"0", 1}, true);
  memset(other.records, 0, sizeof other.records);
  for (uint32_t k = 0; k < KEYS; k++) {
    drop_if_expired(s, &s->records[k]);
    other.records[k] = s->records[k];
    check_record(&other, k);
  }
  nx_store_free(copy);
  nx_buffer_free(&out);
}

static void random_changes(void) {
  static stress s;
  const char *seed = getenv("NX_TEST_SEED");
  s = (stress){.random = seed == NULL ? 20260101 : strtoull(seed, NULL, 10), .now_ms = 1000000};
  uint64_t limit = 3 * 1024 * 1024;
  s.store = nx_store_new_seeded(limit, 1, 2);
  s.channel = nx_store_channel(s.store, (nx_slice){(const uint8_t *)"0", 1}, true);
  nx_store_stats stats;
  uint64_t passed = 0; /* by expiries set at the limit, which are never refused */
  for (uint32_t step = 0; step < STEPS; step++) {
    uint32_t k = (uint32_t)pick(&s, KEYS);
    uint64_t what = pick(&s, 1000);
    if (what < 400) step_put(&s, k);
    else if (what < 600) step_patch(&s, k);
    else if (what < 800) step_other(&s, k);
    else if (what < 950) s.now_ms += (int64_t)pick(&s, 10);
    else if (what < 998) nx_store_tick(s.store, s.now_ms, (uint32_t)pick(&s, 20));
    else if (pick(&s, 4) == 0) remove_channel(&s);
    else check_export(&s);
    check_record(&s, k);
    nx_store_stats_read(s.store, &stats);
    if (stats.memory_bytes > limit + passed) passed = stats.memory_bytes - limit;
  }
  for (uint32_t k = 0; k < KEYS; k++) check_record(&s, k);
  CHECK(s.refused > 100);
  printf("# %u writes were refused, expiries passed the limit by %u KiB\n", s.refused,
         (uint32_t)(passed >> 10));
  CHECK(passed <= limit / 2);
  for (uint32_t k = 0; k < KEYS; k++) forget(&s.records[k]);
  nx_store_free(s.store);
}

int main(void) {
  TEST("random changes at the memory limit leave exactly the expected records", random_changes);
  TAP_END();
}
