/* See ring.h. */
#include "ring.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "../bytes.h"
#include "../nx.h"

#define PLACES_MIN 16u
/* An empty ring that used more than this gives its pages back. */
#define REST_BYTES (1u << 20)

/* --- areas ------------------------------------------------------------------------------------------------ */

/* Where a record of `size` bytes goes behind the last one; false when nowhere. */
static bool place_behind(const nx_ring_area *area, uint64_t size, uint64_t *place) {
  if (area->count == 0) {
    *place = 0;
    return size <= area->capacity;
  }
  if (area->read < area->write) {
    if (area->capacity - area->write >= size) {
      *place = area->write;
      return true;
    }
    *place = 0;
    return area->read >= size;
  }
  *place = area->write;
  return area->read - area->write >= size;
}

static bool place_before(const nx_ring_area *area, uint64_t size, uint64_t *place) {
  uint64_t end = area->read;
  uint64_t start = 0;
  if (area->count == 0) {
    end = area->capacity;
  } else if (area->read >= area->write) {
    start = area->write;
  } else if (area->read < size) {
    end = area->capacity;
    start = area->write;
  }
  if (end - start < size) return false;
  *place = end - size;
  return true;
}

static uint64_t size_of(const uint8_t *record) { return NX_RING_RECORD_BYTES + nx_load64(record); }

static uint8_t *begin(nx_ring_area *area, uint64_t place, uint64_t length, bool is_first, bool is_last) {
  uint64_t size = NX_RING_RECORD_BYTES + length;
  if (is_first) area->read = place;
  if (is_last) area->write = place + size;
  area->used += size;
  area->count += 1;
  nx_store64(area->bytes + place, length);
  return area->bytes + place + NX_RING_RECORD_BYTES;
}

static uint8_t *begin_last(nx_ring_area *area, uint64_t place, uint64_t length) {
  return begin(area, place, length, area->count == 0, true);
}

static uint8_t *begin_first(nx_ring_area *area, uint64_t place, uint64_t length) {
  return begin(area, place, length, true, area->count == 0);
}

/* --- memory ----------------------------------------------------------------------------------------------- */

static uint64_t mapped_bytes(const nx_ring *ring) { return (ring->near.capacity + 4095) & ~UINT64_C(4095); }

/* Address space for all of it at once, pages as they are touched. */
static bool reserve(nx_ring *ring) {
  if (ring->near.bytes != NULL) return true;
  void *memory = mmap(NULL, mapped_bytes(ring), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return false;
  ring->near.bytes = memory;
  return true;
}

static bool reserve_far(nx_ring *ring) {
  if (ring->far.bytes != NULL) return true;
  if (ring->overflow == NULL) return false;
  ring->far = (nx_ring_area){.bytes = nx_overflow_take(ring->overflow, &ring->place),
                             .capacity = ring->overflow->area_bytes};
  return ring->far.bytes != NULL;
}

void nx_ring_free(nx_ring *ring) {
  if (ring->near.bytes != NULL) munmap(ring->near.bytes, mapped_bytes(ring));
  if (ring->far.bytes != NULL) nx_overflow_give_back(ring->overflow, &ring->place, ring->far.bytes);
  free(ring->places);
  *ring = (nx_ring){.near.capacity = ring->near.capacity, .overflow = ring->overflow};
}

/* --- places ----------------------------------------------------------------------------------------------- */

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

static uint64_t *place_at(const nx_ring *ring, uint64_t index) {
  return &ring->places[(ring->first + index) & (ring->place_count - 1)];
}

static uint8_t *record_at(const nx_ring *ring, uint64_t index) {
  uint64_t place = *place_at(ring, index), capacity = ring->near.capacity;
  return place < capacity ? ring->near.bytes + place : ring->far.bytes + (place - capacity);
}

/* --- the overflow ----------------------------------------------------------------------------------------- */

/* Disk space for a record that begins at `place`. */
static bool back(nx_ring *ring, uint64_t place, uint64_t size) {
  return nx_overflow_back(ring->overflow, &ring->place, place + size);
}

/* The last record of the memory moves before the first one of the overflow. */
static bool push_out(nx_ring *ring) {
  uint64_t last = ring->near.count - 1, place;
  const uint8_t *record = record_at(ring, last);
  uint64_t size = size_of(record);
  bool is_first = ring->far.count == 0;
  bool has_room = is_first ? place_behind(&ring->far, size, &place) : place_before(&ring->far, size, &place);
  if (!has_room || !back(ring, place, size)) return false;
  nx_copy(begin_first(&ring->far, place, size - NX_RING_RECORD_BYTES), record + NX_RING_RECORD_BYTES,
          size - NX_RING_RECORD_BYTES);
  *place_at(ring, last) = ring->near.capacity + place;
  ring->near.count -= 1;
  ring->near.used -= size;
  if (ring->near.count > 0) {
    const uint8_t *previous = ring->near.bytes + *place_at(ring, last - 1);
    ring->near.write = (uint64_t)(previous - ring->near.bytes) + size_of(previous);
  }
  return true;
}

/* The first records of the overflow come into the memory that is free. */
static void pull_in(nx_ring *ring) {
  while (ring->far.count > 0) {
    const uint8_t *record = record_at(ring, ring->near.count);
    uint64_t size = size_of(record), place;
    if (!place_behind(&ring->near, size, &place)) return;
    uint64_t index = ring->near.count;
    nx_copy(begin_last(&ring->near, place, size - NX_RING_RECORD_BYTES), record + NX_RING_RECORD_BYTES,
            size - NX_RING_RECORD_BYTES);
    *place_at(ring, index) = place;
    ring->far.count -= 1;
    ring->far.used -= size;
    if (ring->far.count > 0) ring->far.read = *place_at(ring, index + 1) - ring->near.capacity;
  }
}

/* --- records ---------------------------------------------------------------------------------------------- */

static bool prepare(nx_ring *ring, uint64_t length) {
  if (length > ring->near.capacity || ring->near.capacity - length < NX_RING_RECORD_BYTES) return false;
  if (!reserve(ring)) return false;
  if (ring->count == ring->place_count) grow_places(ring);
  return true;
}

static uint8_t *added(nx_ring *ring, uint8_t *record, uint64_t length) {
  ring->count += 1;
  ring->used += NX_RING_RECORD_BYTES + length;
  if (ring->near.used > ring->used_max) ring->used_max = ring->near.used;
  return record;
}

uint8_t *nx_ring_add_back(nx_ring *ring, uint64_t length) {
  uint64_t place, size = NX_RING_RECORD_BYTES + length;
  if (!prepare(ring, length)) return NULL;
  if (ring->far.count == 0 && place_behind(&ring->near, size, &place)) {
    *place_at(ring, ring->count) = place;
    return added(ring, begin_last(&ring->near, place, length), length);
  }
  if (!reserve_far(ring) || !place_behind(&ring->far, size, &place) || !back(ring, place, size)) return NULL;
  *place_at(ring, ring->count) = ring->near.capacity + place;
  return added(ring, begin_last(&ring->far, place, length), length);
}

uint8_t *nx_ring_add_front(nx_ring *ring, uint64_t length) {
  uint64_t place;
  if (!prepare(ring, length)) return NULL;
  while (!place_before(&ring->near, NX_RING_RECORD_BYTES + length, &place))
    if (!reserve_far(ring) || !push_out(ring)) {
      pull_in(ring);
      return NULL;
    }
  ring->first = (ring->first - 1) & (ring->place_count - 1);
  *place_at(ring, 0) = place;
  ring->number -= 1;
  return added(ring, begin_first(&ring->near, place, length), length);
}

nx_slice nx_ring_at(const nx_ring *ring, uint64_t index) {
  NX_ASSERT(index < ring->count);
  const uint8_t *record = record_at(ring, index);
  return (nx_slice){record + NX_RING_RECORD_BYTES, nx_load64(record)};
}

void nx_ring_drop_front(nx_ring *ring) {
  uint64_t size = size_of(record_at(ring, 0));
  ring->near.used -= size;
  ring->used -= size;
  ring->first = (ring->first + 1) & (ring->place_count - 1);
  ring->count -= 1;
  ring->near.count -= 1;
  ring->number += 1;
  if (ring->near.count > 0) ring->near.read = *place_at(ring, 0);
  if (ring->far.count > 0) pull_in(ring);
}

void nx_ring_drop_back(nx_ring *ring) {
  nx_ring_area *area = ring->far.count > 0 ? &ring->far : &ring->near;
  uint64_t size = size_of(record_at(ring, ring->count - 1));
  area->used -= size;
  area->count -= 1;
  ring->used -= size;
  ring->count -= 1;
  if (area->count > 0) {
    const uint8_t *last = record_at(ring, ring->count - 1);
    area->write = (uint64_t)(last - area->bytes) + size_of(last);
  }
}

void nx_ring_clear(nx_ring *ring) {
  ring->number += (int64_t)ring->count;
  ring->first = ring->count = ring->used = 0;
  ring->near.count = ring->near.used = ring->far.count = ring->far.used = 0;
}

bool nx_ring_relay(nx_ring *ring, uint64_t capacity) {
  NX_ASSERT(ring->used <= capacity);
  nx_ring fresh = {.near.capacity = capacity, .overflow = ring->overflow, .number = ring->number};
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
  /* Not at once: what was just taken away may be put back, and must find its place whatever the disk says. */
  if (ring->far.bytes != NULL && ring->far.count == 0) nx_overflow_empty(ring->overflow, &ring->place);
  if (ring->count > 0) return;
  if (ring->used_max > REST_BYTES && ring->near.bytes != NULL)
    madvise(ring->near.bytes, mapped_bytes(ring), MADV_DONTNEED);
  if (ring->place_count > 1024) {
    free(ring->places);
    ring->places = NULL;
    ring->place_count = ring->first = 0;
  }
  ring->used_max = 0;
}
