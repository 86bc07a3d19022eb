/* The ring of queues against a plain list: records at both ends, round the end of the memory, until it is full. */
#include "../queue/ring.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../nx.h"
#include "tap.h"

#define CAPACITY 512u
#define MODEL_MAX 1024u

typedef struct {
  uint8_t first[MODEL_MAX * 2]; /* the byte a record consists of */
  uint8_t length[MODEL_MAX * 2];
  uint32_t start, count;
} model;

static uint64_t used(const model *m) {
  uint64_t sum = 0;
  for (uint32_t index = 0; index < m->count; index++) sum += 8u + m->length[m->start + index];
  return sum;
}

static bool same(const model *m, const nx_ring *ring) {
  if (ring->count != m->count || ring->used != used(m)) return false;
  for (uint32_t index = 0; index < m->count; index++) {
    nx_slice record = nx_ring_at(ring, index);
    if (record.length != m->length[m->start + index]) return false;
    for (uint64_t at = 0; at < record.length; at++)
      if (record.data[at] != m->first[m->start + index]) return false;
  }
  return true;
}

/* Keeps the model's list away from the ends of its arrays. */
static void recentre(model *m) {
  if (m->start > 4 && m->start + m->count + 4 < MODEL_MAX * 2) return;
  uint32_t to = (MODEL_MAX * 2 - m->count) / 2;
  memmove(m->first + to, m->first + m->start, m->count);
  memmove(m->length + to, m->length + m->start, m->count);
  m->start = to;
}

static void add(model *m, nx_ring *ring, bool is_front, uint8_t length, uint8_t byte) {
  uint8_t *to = is_front ? nx_ring_add_front(ring, length) : nx_ring_add_back(ring, length);
  if (to == NULL) return;
  memset(to, byte, length);
  recentre(m);
  uint32_t place = is_front ? --m->start : m->start + m->count;
  m->first[place] = byte;
  m->length[place] = length;
  m->count += 1;
}

static void drop(model *m, nx_ring *ring, bool is_front) {
  if (m->count == 0) return;
  if (is_front) {
    nx_ring_drop_front(ring);
    m->start += 1;
  } else {
    nx_ring_drop_back(ring);
  }
  m->count -= 1;
}

/* With an overflow of `overflow_bytes`, if any. */
static bool agrees_with_a_list(uint32_t seed, uint64_t overflow_bytes) {
  srand(seed);
  int file = memfd_create("overflow", 0);
  bool has_overflowed = false;
  nx_overflow overflow = {.file = file, .area_bytes = overflow_bytes};
  nx_ring ring = {.near.capacity = CAPACITY, .overflow = overflow_bytes > 0 ? &overflow : NULL};
  model m = {.start = MODEL_MAX};
  bool is_right = true;
  for (int step = 0; step < 20000 && is_right; step++) {
    int what = rand() % 7;
    bool is_front = rand() % 2 == 0;
    if (what < 4) add(&m, &ring, is_front, (uint8_t)(rand() % 40), (uint8_t)rand());
    else if (what < 6) drop(&m, &ring, is_front);
    else if (rand() % 50 == 0 && ring.used <= CAPACITY) is_right = nx_ring_relay(&ring, CAPACITY);
    else if (rand() % 50 == 0) nx_ring_rest(&ring);
    is_right = is_right && ring.near.used <= CAPACITY && ring.far.used <= overflow_bytes && same(&m, &ring);
    has_overflowed = has_overflowed || ring.far.count > 0;
  }
  is_right = is_right && has_overflowed == (overflow_bytes > 0);
  while (ring.count > 0) nx_ring_drop_front(&ring);
  nx_ring_rest(&ring);
  is_right = is_right && ring.place.allocated == 0;
  nx_ring_free(&ring);
  nx_overflow_free(&overflow);
  close(file);
  return is_right;
}

/* What the original does when records meet the end of the memory. */
static bool wraps_as_described(void) {
  nx_ring ring = {.near.capacity = 64};
  bool is_right = nx_ring_add_back(&ring, 57) == NULL && nx_ring_add_back(&ring, 16) != NULL &&
                  nx_ring_add_back(&ring, 16) != NULL;
  /* 48 are used: a record of 17 bytes does not fit the end, nor the beginning before something goes. */
  is_right = is_right && nx_ring_add_back(&ring, 17) == NULL;
  nx_ring_drop_front(&ring);
  is_right = is_right && nx_ring_add_back(&ring, 16) != NULL && ring.near.write == 24 && ring.used == 48;
  /* Between write and read there is nothing left. */
  is_right = is_right && nx_ring_add_back(&ring, 0) == NULL;
  nx_ring_free(&ring);
  return is_right;
}

static bool counts_records(void) {
  nx_ring ring = {.near.capacity = 4096};
  for (int index = 0; index < 5; index++) *nx_ring_add_back(&ring, 1) = (uint8_t)index;
  nx_ring_drop_front(&ring);
  nx_ring_drop_front(&ring);
  bool is_right = ring.number == 2;
  *nx_ring_add_front(&ring, 1) = 9;
  is_right = is_right && ring.number == 1 && nx_ring_at(&ring, 0).data[0] == 9;
  nx_ring_clear(&ring);
  is_right = is_right && ring.number == 5 && ring.count == 0 && ring.used == 0;
  nx_ring_free(&ring);
  return is_right;
}

static void test_list(void) {
  for (uint32_t seed = 1; seed <= 8; seed++) CHECK(agrees_with_a_list(seed, 0));
}

static void test_overflow(void) {
  for (uint32_t seed = 1; seed <= 8; seed++) CHECK(agrees_with_a_list(seed, 4096));
}

/* Two rings have an area each; an area that was given back is taken again. */
static void test_areas(void) {
  int file = memfd_create("overflow", 0);
  nx_overflow overflow = {.file = file, .area_bytes = 4096};
  nx_ring rings[2] = {{.near.capacity = 64, .overflow = &overflow}, {.near.capacity = 64, .overflow = &overflow}};
  for (int round = 0; round < 3; round++) {
    for (int ring = 0; ring < 2; ring++)
      for (int index = 0; index < 9; index++) memset(nx_ring_add_back(&rings[ring], 24), 10 * ring + index, 24);
    CHECK(rings[0].place.number + rings[1].place.number == 1);
    for (int ring = 0; ring < 2; ring++)
      for (int index = 0; index < 9; index++) CHECK(nx_ring_at(&rings[ring], (uint64_t)index).data[23] == 10 * ring + index);
    nx_ring_free(&rings[round % 2]);
    nx_ring_free(&rings[1 - round % 2]);
  }
  nx_overflow_free(&overflow);
  close(file);
}

/* A file that takes no more is a full ring. */
static void test_full_disk(void) {
  nx_overflow overflow = {.file = -1, .area_bytes = 4096};
  nx_ring ring = {.near.capacity = 64, .overflow = &overflow};
  CHECK(nx_ring_add_back(&ring, 56) != NULL);
  CHECK(nx_ring_add_back(&ring, 56) == NULL && nx_ring_add_front(&ring, 1) == NULL);
  CHECK(ring.count == 1 && ring.used == 64);
  nx_ring_free(&ring);
  nx_overflow_free(&overflow);
}

static void test_wrap(void) { CHECK(wraps_as_described()); }
static void test_numbers(void) { CHECK(counts_records()); }

int main(void) {
  TEST("records at both ends are those of a plain list", test_list);
  TEST("with an overflow, too, whichever end is worked at", test_overflow);
  TEST("rings have areas of their own in the overflow", test_areas);
  TEST("an overflow that cannot be written to is no room", test_full_disk);
  TEST("a record that fits neither end nor beginning is refused", test_wrap);
  TEST("the first record's number counts up", test_numbers);
  TAP_END();
}
