/*
 * A growing array of equal elements that never moves: 64 KiB segments behind a directory. It serves the
 * tables (elements are buckets) and the expiry heaps. Growing costs one page, not a copy of everything; only
 * while the array is smaller than one page does it live in a single block that is doubled.
 *
 * Invariant: an index below `capacity` is addressable. Elements are not initialised.
 */
#ifndef NX_PAGED_H
#define NX_PAGED_H
#include <stdbool.h>
#include <stdint.h>
#include "slab.h"

typedef struct {
  uint8_t **segments;
  uint8_t *single; /* the directory while there is one segment */
  uint64_t capacity;
  uint32_t segment_count;
  uint32_t directory_capacity; /* 0: `segments` points at `single` */
  uint8_t element_shift;       /* log2 of bytes per element */
  uint8_t segment_shift;       /* log2 of elements per segment */
} nx_paged;

/* element_bytes is a power of two from 8 to 64. */
void nx_paged_init(nx_paged *paged, uint32_t element_bytes);
/* Makes `count` elements addressable. False when the slab refuses; nothing changed. */
bool nx_paged_reserve(nx_paged *paged, nx_slab *slab, uint64_t count, bool force);
/* Gives back what `count` elements do not need, with some slack against ping-pong. */
void nx_paged_trim(nx_paged *paged, nx_slab *slab, uint64_t count);
void nx_paged_free(nx_paged *paged, nx_slab *slab);

static inline void *nx_paged_at(const nx_paged *paged, uint64_t index) {
  uint64_t within = index & ((UINT64_C(1) << paged->segment_shift) - 1);
  return paged->segments[index >> paged->segment_shift] + (within << paged->element_shift);
}

#endif
