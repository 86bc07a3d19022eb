/* See ring.h. */
#include "ring.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "../bytes.h"
#include "../nx.h"

#define PLACES_MIN 16u
/* An empty ring that used more than this gives its pages back. */
#define REST_BYTES (1u << 20)

static uint64_t mapped_bytes(const nx_ring *ring) { return (ring->capacity + 4095) & ~UINT64_C(4095); }

/* Address space for all of it at once, pages as they are touched. */
static bool reserve(nx_ring *ring) {
  if (ring->bytes != NULL) return true;
  void *memory = mmap(NULL, mapped_bytes(ring), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return false;
  ring->bytes = memory;
  return true;
}

void nx_ring_free(nx_ring *ring) {
  if (ring->bytes != NULL) munmap(ring->bytes, mapped_bytes(ring));
  free(ring->places);
  *ring = (nx_ring){.capacity = ring->capacity};
}

static void grow_places(nx_ring *ring) {
  uint64_t size = ring->place_count == 0 ? PLACES_MIN : ring->place_count * 2;
  uint64_t *places = malloc(size * sizeof *places);
  NX_ASSERT(places != NULL);
  for (uint64_t index = 0; index < ring->count; index++)
    places[index] = ring->places[(ring->first + index) & (ring->place_count - 1)];
  free(ring->places);
  ring->places = places;
  ring->place_count = size;
  ring->first = 0;
}

static uint64_t place_at(const nx_ring *ring, uint64_t index) {
  return ring->places[(ring->first + index) & (ring->place_count - 1)];
}

/* Where a record of `size` bytes goes behind the last one; false when nowhere. */
static bool place_behind(const nx_ring *ring, uint64_t size, uint64_t *place) {
  if (ring->count == 0) {
    *place = 0;
    return size <= ring->capacity;
  }
  if (ring->read < ring->write) {
    if (ring->capacity - ring->write >= size) {
      *place = ring->write;
      return true;
    }
    *place = 0;
    return ring->read >= size;
  }
  *place = ring->write;
  return ring->read - ring->write >= size;
}

static bool place_before(const nx_ring *ring, uint64_t size, uint64_t *place) {
  uint64_t end = ring->read;
  uint64_t start = 0;
  if (ring->count == 0) {
    end = ring->capacity;
  } else if (ring->read >= ring->write) {
    start = ring->write;
  } else if (ring->read < size) {
    end = ring->capacity;
    start = ring->write;
  }
  if (end - start < size) return false;
  *place = end - size;
  return true;
}

static bool prepare(nx_ring *ring, uint64_t length) {
  if (length > ring->capacity) return false;
  if (!reserve(ring)) return false;
  if (ring->count == ring->place_count) grow_places(ring);
  return true;
}

static uint8_t *begin(nx_ring *ring, uint64_t place, uint64_t length) {
  ring->used += NX_RING_RECORD_BYTES + length;
  if (ring->used > ring->used_max) ring->used_max = ring->used;
  ring->count += 1;
  nx_store64(ring->bytes + place, length);
  return ring->bytes + place + NX_RING_RECORD_BYTES;
}

uint8_t *nx_ring_add_back(nx_ring *ring, uint64_t length) {
  uint64_t place;
  if (!prepare(ring, length) || !place_behind(ring, NX_RING_RECORD_BYTES + length, &place)) return NULL;
  ring->places[(ring->first + ring->count) & (ring->place_count - 1)] = place;
  if (ring->count == 0) ring->read = place;
  ring->write = place + NX_RING_RECORD_BYTES + length;
  return begin(ring, place, length);
}

uint8_t *nx_ring_add_front(nx_ring *ring, uint64_t length) {
  uint64_t place;
  if (!prepare(ring, length) || !place_before(ring, NX_RING_RECORD_BYTES + length, &place)) return NULL;
  ring->first = (ring->first - 1) & (ring->place_count - 1);
  ring->places[ring->first] = place;
  ring->number -= 1;
  ring->read = place;
  if (ring->count == 0) ring->write = place + NX_RING_RECORD_BYTES + length;
  return begin(ring, place, length);
}

nx_slice nx_ring_at(const nx_ring *ring, uint64_t index) {
  NX_ASSERT(index < ring->count);
  const uint8_t *record = ring->bytes + place_at(ring, index);
  return (nx_slice){record + NX_RING_RECORD_BYTES, nx_load64(record)};
}

void nx_ring_drop_front(nx_ring *ring) {
  ring->used -= NX_RING_RECORD_BYTES + nx_ring_at(ring, 0).length;
  ring->first = (ring->first + 1) & (ring->place_count - 1);
  ring->count -= 1;
  ring->number += 1;
  if (ring->count > 0) ring->read = place_at(ring, 0);
}

void nx_ring_drop_back(nx_ring *ring) {
  ring->used -= NX_RING_RECORD_BYTES + nx_ring_at(ring, ring->count - 1).length;
  ring->count -= 1;
  if (ring->count == 0) return;
  nx_slice last = nx_ring_at(ring, ring->count - 1);
  ring->write = (uint64_t)(last.data - ring->bytes) + last.length;
}

void nx_ring_clear(nx_ring *ring) {
  ring->number += (int64_t)ring->count;
  ring->first = ring->count = ring->used = 0;
}

bool nx_ring_relay(nx_ring *ring, uint64_t capacity) {
  NX_ASSERT(ring->used <= capacity);
  nx_ring fresh = {.capacity = capacity, .number = ring->number};
  if (!reserve(&fresh)) return false;
  for (uint64_t index = 0; index < ring->count; index++) {
    nx_slice record = nx_ring_at(ring, index);
    uint8_t *to = nx_ring_add_back(&fresh, record.length);
    NX_ASSERT(to != NULL);
    nx_copy(to, record.data, record.length);
  }
  nx_ring_free(ring);
  *ring = fresh;
  return true;
}

void nx_ring_rest(nx_ring *ring) {
  if (ring->count > 0) return;
  if (ring->used_max > REST_BYTES && ring->bytes != NULL)
    madvise(ring->bytes, mapped_bytes(ring), MADV_DONTNEED);
  if (ring->place_count > 1024) {
    free(ring->places);
    ring->places = NULL;
    ring->place_count = ring->first = 0;
  }
  ring->used_max = 0;
}
