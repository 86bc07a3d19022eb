/*
 * A ring of records in memory of fixed size, as the original queue node has it.
 *
 * A record of n bytes takes n + 8: u64 length, then the bytes. It is never split: where it does not fit between
 * the write position and the end it begins at 0 again, and the rest of the end is a gap. The memory is
 * reserved once, when the first record comes; the system gives it page by page as it is used. Beside it lies a
 * ring of places, one u64 for each record, so that records can be taken at both ends and found by their number.
 *
 * A ring may have an overflow (overflow.h): what the memory has no room for waits behind it in a second ring of the same
 * kind, in a file, and comes into memory as room comes free. So the order stays that of coming.
 *
 * Invariant: the records lie at the `count` places from `first` on, in order, those in memory first; while any are in the
 * overflow there is one in memory. `used` is the length of all with the length words. Full means full: nothing is overwritten.
 */
#ifndef NX_QUEUE_RING_H
#define NX_QUEUE_RING_H
#include <stdbool.h>
#include <stdint.h>
#include "../store.h"
#include "overflow.h"

#define NX_RING_RECORD_BYTES 8u /* of a record beside its bytes */

/* Some of a ring's records, behind each other in one stretch of memory. */
typedef struct {
  uint8_t *bytes; /* NULL until the first record */
  uint64_t capacity;
  uint64_t count, used;
  uint64_t read;  /* where the first record begins */
  uint64_t write; /* where the last one ends; not above `read` when the records go round the end */
} nx_ring_area;

typedef struct {
  nx_ring_area near; /* in memory */
  nx_ring_area far;  /* in the overflow */
  nx_overflow *overflow; /* NULL: there is none */
  nx_overflow_area place; /* of `far` in it */
  uint64_t *places; /* offsets of records, those in the overflow counted on from `near.capacity`; a ring of its own */
  uint64_t place_count; /* a power of two, or 0 */
  uint64_t first, count;
  uint64_t used;
  uint64_t used_max; /* in memory, since it was last empty: pages that were touched */
  int64_t number; /* of the first record: it counts up with each record taken at the front */
} nx_ring;

void nx_ring_free(nx_ring *ring);

/* Room for a record of `length` bytes behind the last or before the first one; NULL when there is none. The
 * caller fills it. */
uint8_t *nx_ring_add_back(nx_ring *ring, uint64_t length);
uint8_t *nx_ring_add_front(nx_ring *ring, uint64_t length);

/* `index` counts from the first record. Valid until the next call that changes the ring. */
nx_slice nx_ring_at(const nx_ring *ring, uint64_t index);
/* The ring must not be empty. */
void nx_ring_drop_front(nx_ring *ring);
void nx_ring_drop_back(nx_ring *ring);
/* Forgets all records; keeps the memory reserved. */
void nx_ring_clear(nx_ring *ring);
/* Lays the records out anew, without gaps, in a ring of this capacity, which must hold them. False when the system
 * gives no memory. */
bool nx_ring_relay(nx_ring *ring, uint64_t capacity);
/* Gives back what an empty ring, or an empty overflow, does not need. */
void nx_ring_rest(nx_ring *ring);

#endif
