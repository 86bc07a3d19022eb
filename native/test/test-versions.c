/*
 * The store of versions against plain sums: counters that are changed in any order, read at any time, collected, dumped. What comes
 * from outside (operations, dumps) stands in memory that ends where it ends, so a read beyond it is seen.
 */
#include "../versions/versions.h"

#include <errno.h>
#include <stdlib.h>

#include "../bytes.h"
#include "../nx.h"
#include "../versions/fold.h"
#include "tap.h"

#define KEYS 6u
#define TIMES 120u

typedef struct {
  nx_versions *store;
  int64_t amounts[KEYS][TIMES + 1]; /* 0: no version */
  uint64_t horizon, position, random;
} bench;

static uint64_t below(bench *b, uint64_t count) { return test_random(&b->random) % count; }

static bench *new_bench(uint64_t seed) {
  bench *b = calloc(1, sizeof *b);
  NX_ASSERT(b != NULL);
  b->store = nx_versions_new();
  b->random = seed;
  return b;
}

static void free_bench(bench *b) {
  nx_versions_free(b->store);
  free(b);
}

static const char *const names[KEYS] = {"", "a", "aa", "ab", "b", "ba"};
static nx_bytes name_of(uint64_t key) { return (nx_bytes){(const uint8_t *)names[key], strlen(names[key])}; }

/* A copy that ends where it ends. */
static nx_bytes own(const void *data, uint64_t length) {
  uint8_t *copy = malloc(length == 0 ? 1 : length);
  NX_ASSERT(copy != NULL);
  nx_copy(copy, data, length);
  return (nx_bytes){copy, length};
}

static void give_back(nx_bytes bytes) { free((void *)(uintptr_t)bytes.data); }

static int64_t sum_at(const bench *b, uint64_t key, uint64_t at) {
  int64_t sum = 0;
  for (uint64_t time = 1; time <= at; time++) sum += b->amounts[key][time];
  return sum;
}

static uint64_t newest_at(const bench *b, uint64_t key, uint64_t at) {
  while (at > 0 && b->amounts[key][at] == 0) at -= 1;
  return at;
}

static void write_one(bench *b) {
  uint64_t key = below(b, KEYS), at = 1 + below(b, TIMES);
  int64_t amount = 1 + (int64_t)below(b, 1000);
  uint8_t op[9] = {NX_OP_ADD};
  memcpy(op + 1, &amount, 8);
  nx_bytes ops = own(op, sizeof op);
  int result = nx_versions_write(b->store, name_of(key), at, ++b->position, ops);
  give_back(ops);
  if (at <= b->horizon) CHECK(result == -ESTALE);
  else if (b->amounts[key][at] != 0) CHECK(result == -EEXIST);
  else {
    CHECK(result == 0);
    b->amounts[key][at] = amount;
  }
}

static void check_key(const bench *b, nx_versions *store, uint64_t key, uint64_t at) {
  nx_version_view view;
  int result = nx_versions_read(store, name_of(key), at, &view);
  if (at < b->horizon) {
    CHECK(result == -ESTALE);
    return;
  }
  uint64_t start = newest_at(b, key, at);
  CHECK(result == 0 && view.start == start);
  if (start == 0) return;
  int64_t count = 0;
  CHECK(view.type == NX_TYPE_COUNTER && view.value.length == 8);
  memcpy(&count, view.value.data, 8);
  CHECK(count == sum_at(b, key, at));
}

static void step(bench *b) {
  uint64_t dice = below(b, 20);
  if (dice < 9) write_one(b);
  else if (dice < 17) check_key(b, b->store, below(b, KEYS), 1 + below(b, TIMES));
  else if (dice == 17 && b->horizon < TIMES / 2) nx_versions_raise_horizon(b->store, b->horizon += below(b, 3));
  else nx_versions_collect(b->store, (uint32_t)below(b, 4));
}

static void counts_like_plain_sums(void) {
  for (uint64_t seed = 1; seed <= 40; seed++) {
    bench *b = new_bench(seed);
    for (int count = 0; count < 600; count++) step(b);
    for (uint64_t key = 0; key < KEYS; key++)
      for (uint64_t at = 1; at <= TIMES; at++) check_key(b, b->store, key, at);
    free_bench(b);
  }
}

static bool dump_all(nx_versions *store, uint64_t position, uint64_t bytes_target, nx_buffer *out) {
  nx_versions_dump_begin(store, position);
  while (nx_versions_dump(store, bytes_target, out)) {}
  nx_versions_dump_end(store);
  return out->length > 0;
}

static void a_dump_makes_a_copy(void) {
  for (uint64_t seed = 1; seed <= 20; seed++) {
    bench *b = new_bench(seed);
    for (int count = 0; count < 200; count++) step(b);
    nx_buffer out = {0};
    CHECK(dump_all(b->store, b->position, seed, &out));
    nx_versions *copy = nx_versions_new();
    nx_bytes bytes = own(out.data, out.length);
    CHECK(nx_versions_load(copy, bytes) == 0);
    give_back(bytes);
    nx_versions_raise_horizon(copy, b->horizon);
    for (uint64_t key = 0; key < KEYS; key++)
      for (uint64_t at = 1; at <= TIMES; at += 7) check_key(b, copy, key, at);
    nx_versions_free(copy);
    nx_buffer_free(&out);
    free_bench(b);
  }
}

static void take(const uint8_t *data, uint64_t length) {
  nx_versions *store = nx_versions_new();
  nx_bytes bytes = own(data, length);
  int result = nx_versions_load(store, bytes);
  CHECK(result == 0 || result == -EINVAL);
  give_back(bytes);
  nx_buffer out = {0};
  while (nx_versions_scan(store, (nx_bytes){0}, false, (nx_bytes){0}, UINT64_MAX, 1000, 1 << 20, &out)) {}
  nx_buffer_free(&out);
  nx_versions_free(store);
}

static void a_damaged_dump_is_taken_or_refused(void) {
  bench *b = new_bench(7);
  for (int count = 0; count < 60; count++) step(b);
  nx_buffer out = {0};
  CHECK(dump_all(b->store, b->position, 1 << 20, &out));
  for (uint64_t at = 0; at < out.length; at++) {
    take(out.data, at);
    for (uint32_t bit = 0; bit < 8; bit++) {
      out.data[at] ^= (uint8_t)(1u << bit);
      take(out.data, out.length);
      out.data[at] ^= (uint8_t)(1u << bit);
    }
  }
  static const uint8_t without_versions[] = {1, 0, 0, 0, 'k', 0, 0, 0, 0};
  CHECK(nx_versions_load(b->store, (nx_bytes){without_versions, sizeof without_versions}) == -EINVAL);
  nx_buffer_free(&out);
  free_bench(b);
}

static uint64_t put_item(bench *b, uint8_t *to) {
  uint8_t item[5] = {1, 0, 0, 0, (uint8_t)below(b, 3)};
  memcpy(to, item, sizeof item);
  return sizeof item;
}

static uint64_t one_operation(bench *b, uint8_t *to) {
  uint64_t length = 1;
  to[0] = (uint8_t)(NX_OP_PUT + below(b, NX_OP_MAP_DELETE));
  if (to[0] == NX_OP_DELETE) return length;
  if (to[0] == NX_OP_PUT) to[length++] = NX_TYPE_BYTES;
  if (to[0] == NX_OP_ADD || to[0] == NX_OP_SET_INDEX) {
    memset(to + length, (int)below(b, 2), 8);
    return to[0] == NX_OP_ADD ? length + 8 : length + 4 + put_item(b, to + length + 4);
  }
  length += put_item(b, to + length);
  return to[0] == NX_OP_MAP_SET ? length + put_item(b, to + length) : length;
}

/* A quarter of them is cut, another one has a byte that is not its own. */
static uint64_t any_operations(bench *b, uint8_t *to) {
  uint64_t length = 0;
  for (uint64_t left = 1 + below(b, 3); left > 0; left--) length += one_operation(b, to + length);
  if (below(b, 4) == 0) return below(b, length + 1);
  if (below(b, 4) == 0) to[below(b, length)] = (uint8_t)below(b, 256);
  return length;
}

static void any_operations_are_taken_or_refused(void) {
  bench *b = new_bench(9);
  uint8_t bytes[64];
  uint64_t taken = 0, refused = 0;
  for (uint64_t at = 1; at <= 20000; at++) {
    nx_bytes ops = own(bytes, any_operations(b, bytes));
    int result = nx_versions_write(b->store, name_of(at % KEYS), at, at, ops);
    CHECK(result == 0 || result == -EINVAL);
    CHECK((result == 0) == nx_ops_valid(ops));
    give_back(ops);
    *(result == 0 ? &taken : &refused) += 1;
    nx_version_view view;
    CHECK(nx_versions_read(b->store, name_of(at % KEYS), at, &view) == 0);
    CHECK(nx_value_valid(view.type, view.value));
    if (at % 50 == 0) nx_versions_raise_horizon(b->store, at - 20);
    nx_versions_collect(b->store, 2);
  }
  CHECK(taken > 1000 && refused > 1000);
  free_bench(b);
}

static void what_was_deleted_and_collected_is_gone(void) {
  bench *b = new_bench(11);
  for (int count = 0; count < 300; count++) step(b);
  uint8_t erase = NX_OP_DELETE;
  for (uint64_t key = 0; key < KEYS; key++)
    CHECK(nx_versions_write(b->store, name_of(key), TIMES + 1, ++b->position, (nx_bytes){&erase, 1}) == 0);
  nx_versions_raise_horizon(b->store, TIMES + 1);
  for (int rounds = 0; rounds < 3;) rounds += nx_versions_collect(b->store, 1);
  nx_versions_stats stats;
  nx_versions_read_stats(b->store, &stats);
  CHECK(stats.keys == 0 && stats.versions == 0 && stats.memory_bytes == 0 && stats.removed_keys >= KEYS);
  free_bench(b);
}

int main(void) {
  TEST("counters are plain sums, whatever order they are changed in", counts_like_plain_sums);
  TEST("a dump makes a copy that answers alike", a_dump_makes_a_copy);
  TEST("a dump that was cut or damaged is taken or refused", a_damaged_dump_is_taken_or_refused);
  TEST("any operations are taken or refused, and leave a value", any_operations_are_taken_or_refused);
  TEST("what was deleted and collected is gone, and not counted", what_was_deleted_and_collected_is_gone);
  TAP_END();
}
