/* The store through store.h: what the contract suite (test/contract/) cannot reach from TypeScript. */
#include <errno.h>
#include <stdint.h>

#include "../store.h"
#include "tap.h"

#define S(text) ((nx_slice){(const uint8_t *)(text), strlen(text)})

static nx_store *store_new(uint64_t memory_bytes_max) { return nx_store_new_seeded(memory_bytes_max, 1, 2); }
static nx_channel *channel_of(nx_store *store) { return nx_store_channel(store, S("0"), true); }

static bool is_value(nx_channel *channel, const char *key, nx_slice wanted) {
  nx_record record;
  return nx_channel_get(channel, S(key), 0, &record) && record.value.length == wanted.length &&
         memcmp(record.value.data, wanted.data, wanted.length) == 0;
}

/* A value inside the store as the source of a change, in place and moved, with and without a shift by an
 * expiry. */
static void values_inside_the_store(void) {
  static uint8_t text[50000];
  for (uint32_t i = 0; i < sizeof text; i++) text[i] = (uint8_t)(i * 7 + i / 256);
  static const uint64_t lengths[] = {0, 1, 5, 20, 64, 500, 600, 1000, 5000, 16000, 40000};
  for (uint32_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
    uint64_t n = lengths[l];
    for (int has_expiry = 0; has_expiry < 2; has_expiry++) {
      nx_store *store = store_new(0);
      nx_channel *channel = channel_of(store);
      nx_record record;
      uint64_t length;
      CHECK(nx_channel_put(channel, S("a"), (nx_slice){text, n}, has_expiry ? 900 : 0) == 0);
      CHECK(nx_channel_get(channel, S("a"), 0, &record));
      CHECK(nx_channel_put(channel, S("b"), record.value, 0) == 0);
      CHECK(is_value(channel, "b", (nx_slice){text, n}));
      /* onto itself, the expiry appearing or going */
      CHECK(nx_channel_get(channel, S("a"), 0, &record));
      CHECK(nx_channel_put(channel, S("a"), record.value, has_expiry ? 0 : 900) == 0);
      CHECK(is_value(channel, "a", (nx_slice){text, n}));
      /* its own tail onto itself */
      CHECK(nx_channel_get(channel, S("a"), 0, &record));
      nx_slice tail = {record.value.data + n / 3, n - n / 3};
      CHECK(nx_channel_put(channel, S("a"), tail, has_expiry ? 900 : 0) == 0);
      CHECK(is_value(channel, "a", (nx_slice){text + n / 3, n - n / 3}));
      /* appended to itself */
      CHECK(nx_channel_put(channel, S("a"), (nx_slice){text, n}, 0) == 0);
      CHECK(nx_channel_get(channel, S("a"), 0, &record));
      CHECK(nx_channel_patch(channel, S("a"), n, record.value, 0, &length) == 0 && length == 2 * n);
      CHECK(nx_channel_get(channel, S("a"), 0, &record));
      CHECK(memcmp(record.value.data, text, n) == 0 && memcmp(record.value.data + n, text, n) == 0);
      nx_store_free(store);
    }
  }
}

static void arguments_out_of_range(void) {
  nx_store *store = store_new(0);
  nx_channel *channel = channel_of(store);
  static uint8_t long_key[NX_KEY_BYTES_MAX + 1];
  nx_slice too_long = {long_key, sizeof long_key}, huge = {long_key, (uint64_t)NX_VALUE_BYTES_MAX + 1};
  nx_record record;
  uint64_t length;
  CHECK(nx_channel_put(channel, too_long, S("v"), 0) == -EINVAL);
  CHECK(nx_channel_put(channel, S("k"), huge, 0) == -EINVAL);
  CHECK(nx_channel_put(channel, S("k"), S("v"), -1) == -EINVAL);
  CHECK(nx_channel_patch(channel, too_long, 0, S("v"), 0, &length) == -EINVAL);
  CHECK(nx_channel_patch(channel, S("k"), NX_VALUE_BYTES_MAX, S("v"), 0, &length) == -EINVAL);
  CHECK(nx_channel_patch(channel, S("k"), UINT64_MAX, S("v"), 0, &length) == -EINVAL);
  CHECK(!nx_channel_get(channel, too_long, 0, &record) && !nx_channel_remove(channel, too_long, 0));
  CHECK(!nx_channel_expire(channel, too_long, 1, 0) && nx_channel_record_bytes(channel, too_long, 0) == 0);
  CHECK(nx_channel_records(channel) == 0);
  too_long.length -= 1;
  CHECK(nx_channel_put(channel, too_long, S("v"), 0) == 0 && nx_channel_get(channel, too_long, 0, &record));
  CHECK(nx_store_channel(store, S(""), true) == NULL && nx_store_channel(store, S("a.b"), true) == NULL);
  CHECK(nx_store_channel(store, (nx_slice){long_key, 241}, true) == NULL);
  CHECK(nx_store_channel(store, S("azAZ09_-"), true) != NULL);
  nx_store_free(store);
}

typedef struct {
  uint32_t calls;
  char last[64];
  nx_channel *channel;
  nx_change change;
  bool was_there; /* whether the key could still be seen as it was */
} observed;

static void observe(void *context, nx_channel *channel, nx_change change, nx_slice key) {
  observed *o = context;
  o->calls += 1;
  o->channel = channel;
  o->change = change;
  if (change == NX_CHANGE_CHANNEL) {
    strcpy(o->last, "(channel)");
    return;
  }
  memcpy(o->last, key.data, key.length);
  o->last[key.length] = 0;
  nx_record record;
  o->was_there = nx_channel_get(channel, key, 0, &record);
}

static void observer_hears_first(void) {
  nx_store *store = store_new(0);
  nx_channel *channel = channel_of(store);
  observed o = {0};
  uint64_t length;
  nx_store_observe(store, observe, &o);
  nx_channel_put(channel, S("00000000000000ff"), S("v"), 0);
  CHECK(o.calls == 1 && strcmp(o.last, "00000000000000ff") == 0 && o.channel == channel && !o.was_there);
  nx_channel_put(channel, S("00000000000000ff"), S("w"), 0);
  CHECK(o.calls == 2 && strcmp(o.last, "00000000000000ff") == 0 && o.was_there);
  nx_channel_put(channel, S(""), S("empty key"), 0);
  CHECK(o.calls == 3 && strcmp(o.last, "") == 0);
  nx_channel_patch(channel, S("p"), 3, S("x"), 0, &length);
  CHECK(o.change == NX_CHANGE_VALUE);
  nx_channel_expire(channel, S("p"), 10, 0);
  CHECK(o.change == NX_CHANGE_EXPIRY && o.calls == 5 && strcmp(o.last, "p") == 0 && o.was_there);
  nx_store_tick(store, 10, 100);
  CHECK(o.calls == 6 && strcmp(o.last, "p") == 0 && nx_channel_records(channel) == 2);
  nx_channel_remove(channel, S("p"), 0);
  CHECK(o.calls == 6);
  nx_channel_remove(channel, S(""), 0);
  CHECK(o.calls == 7 && strcmp(o.last, "") == 0);
  CHECK(o.change == NX_CHANGE_REMOVE);
  observed second = {0};
  nx_store_observe(store, observe, &second);
  nx_channel_put(channel, S("q"), S("v"), 0);
  CHECK(o.calls == 8 && second.calls == 1);
  nx_store_unobserve(store, observe, &o);
  nx_store_channel_remove(store, channel);
  CHECK(o.calls == 8 && second.calls == 2 && strcmp(second.last, "(channel)") == 0);
  nx_store_free(store);
}

static void counts_swarm_records(void) {
  nx_store *store = store_new(0);
  nx_channel *channel = channel_of(store);
  uint64_t length;
#define COUNTS(records, bytes) \
  CHECK(nx_channel_swarm_records(channel) == (records) && nx_channel_swarm_value_bytes(channel) == (bytes))
  nx_channel_put(channel, S("00000000000000ff"), S("four"), 0);
  nx_channel_put(channel, S("no swarm key"), S("v"), 0);
  COUNTS(1, 4);
  nx_channel_put(channel, S("00000000000000fe"), S(""), 0);
  COUNTS(1, 4);
  nx_channel_patch(channel, S("00000000000000fe"), 2, S("x"), 0, &length);
  COUNTS(2, 7);
  nx_channel_put(channel, S("00000000000000ff"), S(""), 50);
  COUNTS(1, 3);
  nx_channel_put(channel, S("00000000000000ff"), S("back"), 50);
  COUNTS(2, 7);
  nx_store_tick(store, 50, 100);
  COUNTS(1, 3);
  nx_channel_remove(channel, S("00000000000000fe"), 0);
  nx_channel_remove(channel, S("no swarm key"), 0);
  COUNTS(0, 0);
#undef COUNTS
  nx_store_free(store);
}

typedef struct {
  uint32_t met[4096];
} meetings;

static void meet(void *context, nx_slice key, const nx_record *record) {
  (void)record;
  ((meetings *)context)->met[strtoul((const char *)key.data, NULL, 10)] += 1;
}

/* A table that shrinks under a scan merges buckets that were visited with such that were not. */
static void scan_meets_once(void) {
  static meetings m;
  for (uint32_t stop = 1; stop < 40; stop++) {
    nx_store *store = store_new(0);
    nx_channel *channel = channel_of(store);
    char key[16];
    for (int i = 0; i < 4096; i++) {
      snprintf(key, sizeof key, "%d", i);
      nx_channel_put(channel, S(key), S("v"), 0);
    }
    memset(&m, 0, sizeof m);
    uint64_t cursor = 0;
    for (uint32_t step = 0; step < stop * 7; step++) cursor = nx_channel_scan(channel, cursor, 0, meet, &m);
    for (int i = 0; i < 4096; i++) {
      if (i % 8 == 0) continue;
      snprintf(key, sizeof key, "%d", i);
      nx_channel_remove(channel, S(key), 0);
    }
    while (cursor != 0) cursor = nx_channel_scan(channel, cursor, 0, meet, &m);
    for (int i = 0; i < 4096; i++) CHECK(i % 8 == 0 ? m.met[i] == 1 : m.met[i] <= 1);
    nx_store_free(store);
  }
}

/* Some effects of every kind. */
static void fill(nx_store *store) {
  nx_channel *channel = channel_of(store);
  uint64_t length;
  char key[32];
  for (int i = 0; i < 20; i++) {
    snprintf(key, sizeof key, i % 2 ? "%016x" : "key %d", i);
    nx_channel_put(channel, S(key), S("some value"), i % 3 == 0 ? 1000 + i : 0);
    nx_channel_patch(channel, S(key), (uint64_t)i, S("patch"), 0, &length);
    if (i % 4 == 0) nx_channel_expire(channel, S(key), 2000, 0);
    if (i % 5 == 0) nx_channel_remove(channel, S(key), 0);
  }
  nx_channel_put(nx_store_channel(store, S("other"), true), S("k"), S("v"), 0);
  nx_store_channel_remove(store, nx_store_channel(store, S("other"), false));
}

static void replay_of_damaged_bytes(void) {
  nx_store *source = store_new(0);
  nx_store_logging(source, true);
  fill(source);
  nx_buffer *effects = nx_store_effects(source);
  uint64_t ends = 0, bad = 0;
  for (uint64_t length = 0; length <= effects->length; length++) {
    /* An exact copy, so that AddressSanitizer sees a read past the end. */
    uint8_t *cut = malloc(length == 0 ? 1 : length);
    memcpy(cut, effects->data, length);
    nx_store *store = store_new(0);
    int64_t count = nx_store_replay(store, cut, length, &bad);
    if (count >= 0) ends += 1;
    else CHECK(count == -EBADMSG && bad < length);
    nx_store_free(store);
    free(cut);
  }
  CHECK(ends > 50);
  uint64_t state = 9;
  for (uint32_t i = 0; i < 500; i++) {
    uint8_t *copy = malloc(effects->length);
    memcpy(copy, effects->data, effects->length);
    for (uint64_t flips = 1 + test_random(&state) % 3; flips != 0; flips--) {
      uint64_t at = test_random(&state);
      copy[at % effects->length] ^= (uint8_t)(1u << (at >> 60 & 7));
    }
    nx_store *store = store_new(0);
    int64_t count = nx_store_replay(store, copy, effects->length, &bad);
    CHECK(count >= 0 || (count == -EBADMSG && bad < effects->length));
    nx_store_tick(store, 1500, 1000);
    nx_store_free(store);
    free(copy);
  }
  nx_store_free(source);
}

static void replay_returns_to_the_limit(void) {
  nx_store *source = store_new(0);
  nx_store_logging(source, true);
  char key[32];
  for (int i = 0; i < 20000; i++) {
    snprintf(key, sizeof key, "key %d", i);
    nx_channel_put(channel_of(source), S(key), S("some value"), i % 2 ? 5000 : 0);
  }
  nx_buffer *effects = nx_store_effects(source);
  nx_store *store = store_new(256 * 1024);
  uint64_t bad;
  CHECK(nx_store_replay(store, effects->data, effects->length, &bad) == 20000);
  CHECK(nx_channel_records(channel_of(store)) == 20000);
  CHECK(nx_channel_put(channel_of(store), S("one more"), (nx_slice){effects->data, 5000}, 0) == -ENOMEM);
  nx_store_free(store);
  nx_store_free(source);
}

static void swapped_effects_stay(void) {
  nx_store *store = store_new(0);
  nx_store_logging(store, true);
  nx_channel_put(channel_of(store), S("first"), S("1"), 0);
  nx_buffer *full = nx_store_effects_swap(store);
  uint8_t copy[256];
  uint64_t length = full->length;
  memcpy(copy, full->data, length);
  const uint8_t *address = full->data;
  for (int i = 0; i < 10000; i++) nx_channel_put(channel_of(store), S("second"), S("2"), 0);
  CHECK(full->length == length && full->data == address && memcmp(full->data, copy, length) == 0);
  CHECK(nx_store_effects(store) != full && nx_store_effects(store)->length == 10000 * (length + 1));
  full = nx_store_effects_swap(store);
  CHECK(full->length == 10000 * (length + 1) && nx_store_effects(store)->length == 0);
  nx_store_free(store);
}

/* A removed channel's memory is reused at once where a write needs it. */
static void removed_channels_make_room(void) {
  nx_store *store = store_new(2 * 1024 * 1024);
  uint8_t value[1000] = {0};
  char key[32];
  for (int round = 0; round < 5; round++) {
    nx_channel *channel = channel_of(store);
    CHECK(channel != NULL);
    int n = 0;
    while (snprintf(key, sizeof key, "%d", n),
           nx_channel_put(channel, S(key), (nx_slice){value, sizeof value}, 0) == 0)
      n++;
    CHECK(n > 1700);
    nx_store_channel_remove(store, channel);
  }
  while (nx_store_tick(store, 0, 100) >= 100) continue;
  nx_store_stats stats;
  nx_store_stats_read(store, &stats);
  CHECK(stats.records == 0 && stats.value_bytes == 0 && stats.key_bytes == 0 &&
        stats.memory_bytes < 1536 * 1024);
  nx_store_free(store);
}

static void tick_is_bounded(void) {
  nx_store *store = store_new(0);
  char key[32];
  for (int i = 0; i < 3000; i++) {
    snprintf(key, sizeof key, "%d", i);
    nx_channel_put(nx_store_channel(store, i % 3 ? S("a") : S("b"), true), S(key), S("v"), 100 + i);
  }
  CHECK(nx_store_tick(store, 99, 100) == 0);
  uint32_t steps, calls = 0;
  while ((steps = nx_store_tick(store, 100000, 64)) != 0) {
    CHECK(steps <= 64);
    calls += 1;
  }
  nx_store_stats stats;
  nx_store_stats_read(store, &stats);
  CHECK(stats.records == 0 && stats.expired == 3000 && stats.expiring == 0 && calls >= 46);
  nx_store_channel_remove(store, nx_store_channel(store, S("a"), false));
  nx_store_free(store);
}

/* A channel with much to expire must not keep the others waiting. */
static void tick_is_fair(void) {
  nx_store *store = store_new(0);
  char key[32];
  for (int i = 0; i < 1000; i++) {
    snprintf(key, sizeof key, "%d", i);
    nx_channel_put(nx_store_channel(store, S("busy"), true), S(key), S("v"), 10);
  }
  nx_channel *quiet = nx_store_channel(store, S("quiet"), true),
             *gone = nx_store_channel(store, S("gone"), true);
  nx_channel_put(quiet, S("k"), S("v"), 10);
  nx_channel_put(gone, S("k"), S("v"), 10);
  nx_store_channel_remove(store, gone);
  for (int i = 0; i < 3; i++) nx_store_tick(store, 10, 20);
  CHECK(nx_channel_records(quiet) == 0);
  while (nx_store_tick(store, 10, 20) != 0) continue;
  CHECK(nx_channel_records(nx_store_channel(store, S("busy"), false)) == 0);
  nx_channel_put(quiet, S("k"), S("v"), 20);
  CHECK(nx_store_tick(store, 20, 20) == 1 && nx_channel_records(quiet) == 0);
  nx_store_free(store);
}

static void take_key(void *context, nx_slice key, const nx_record *record) {
  (void)record;
  ((uint32_t *)context)[atoi((const char *)key.data + 1)] += 1;
}

static void random_is_spread(void) {
  nx_store *store = store_new(0);
  nx_channel *channel = channel_of(store);
  static uint32_t counts[200];
  memset(counts, 0, sizeof counts);
  CHECK(!nx_channel_random(channel, 1, 0, take_key, counts));
  char key[32];
  for (int i = 0; i < 200; i++) {
    snprintf(key, sizeof key, "k%d", i);
    nx_channel_put(channel, S(key), S("v"), i < 100 ? 50 : 0);
  }
  for (uint64_t seed = 0; seed < 40000; seed++) CHECK(nx_channel_random(channel, seed, 50, take_key, counts));
  for (int i = 0; i < 100; i++) CHECK(counts[i] == 0);
  for (int i = 100; i < 200; i++) CHECK(counts[i] > 40 && counts[i] < 3000);
  nx_store_free(store);
}

/* Of nothing, of what is not there, and of records that end anywhere in a cache line, in a page or behind it. */
static void hints_change_nothing(void) {
  static uint8_t value[3 * 65536];
  memset(value, 'v', sizeof value);
  nx_store *store = store_new(0);
  nx_channel *channel = channel_of(store);
  nx_slice keys[16] = {{NULL, 0}};
  char texts[16][32];
  nx_channel_prefetch(channel, keys, 0);
  nx_channel_prefetch(channel, keys, 16);
  for (uint32_t round = 0; round < 130; round++) {
    for (uint32_t i = 0; i < 16; i++) {
      snprintf(texts[i], sizeof texts[i], "k%u", round * 16 + i);
      keys[i] = S(texts[i]);
      uint64_t length = round < 128 ? round * 16 + i : sizeof value - i;
      if (i % 5 != 0) CHECK(nx_channel_put(channel, keys[i], (nx_slice){value, length}, i % 2) == 0);
    }
    nx_channel_prefetch(channel, keys, 16);
    nx_record record;
    for (uint32_t i = 0; i < 16; i++) CHECK(nx_channel_get(channel, keys[i], 0, &record) == (i % 5 != 0));
  }
  nx_store_free(store);
}

int main(void) {
  TEST("a value that lies in the store can be stored, onto itself too", values_inside_the_store);
  TEST("arguments out of range are refused and change nothing", arguments_out_of_range);
  TEST("records that the swarm protocols know are counted", counts_swarm_records);
  TEST("a scan meets no record twice, however the table shrinks", scan_meets_once);
  TEST("the observer hears of each change before it happens, and of no other", observer_hears_first);
  TEST("every prefix and thousands of bit flips of effects replay without harm", replay_of_damaged_bytes);
  TEST("replay passes the limit, writes after it do not", replay_returns_to_the_limit);
  TEST("swapped effects stay where they are while the store goes on", swapped_effects_stay);
  TEST("a removed channel makes room at once and is freed in steps", removed_channels_make_room);
  TEST("a tick takes no more steps than asked and expires exactly what is due", tick_is_bounded);
  TEST("a channel with much to expire does not keep the others waiting", tick_is_fair);
  TEST("random records are live and spread", random_is_spread);
  TEST("hints about keys, there or not, read nothing beyond a record and change nothing", hints_change_nothing);
  TAP_END();
}
