/* The segmented array of paged.h. */
#include "paged.h"

#include <string.h>

#include "nx.h"

#define SINGLE_BYTES_MIN 64u
#define SINGLE_BYTES_MAX 8192u /* the largest doubled block; the next step is a page */

static uint64_t elements_in(const nx_paged *paged, uint64_t bytes) { return bytes >> paged->element_shift; }
static uint64_t single_bytes(const nx_paged *paged) { return paged->capacity << paged->element_shift; }

void nx_paged_init(nx_paged *paged, uint32_t element_bytes) {
  uint8_t shift = (uint8_t)__builtin_ctz(element_bytes);
  *paged = (nx_paged){.element_shift = shift, .segment_shift = (uint8_t)(16 - shift)};
}

static uint8_t *segment_alloc(nx_slab *slab, uint64_t bytes, bool force) {
  return bytes == NX_PAGE_BYTES ? nx_slab_page_alloc(slab, force) : nx_slab_alloc(slab, bytes, force);
}

static void segment_free(nx_slab *slab, uint8_t *segment, uint64_t bytes) {
  if (bytes == NX_PAGE_BYTES) nx_slab_page_free(slab, segment);
  else nx_slab_free(slab, segment, bytes);
}

/* Replaces the only segment by one of `bytes`, keeping what fits. */
static bool resize_single(nx_paged *paged, nx_slab *slab, uint64_t bytes, bool force) {
  uint8_t *segment = segment_alloc(slab, bytes, force);
  if (segment == NULL) return false;
  if (paged->segment_count != 0) {
    uint64_t old_bytes = single_bytes(paged);
    memcpy(segment, paged->segments[0], old_bytes < bytes ? old_bytes : bytes);
    segment_free(slab, paged->segments[0], old_bytes);
  }
  if (paged->directory_capacity == 0) paged->segments = &paged->single;
  paged->segments[0] = segment;
  paged->segment_count = 1;
  paged->capacity = elements_in(paged, bytes);
  return true;
}

static bool reserve_directory(nx_paged *paged, nx_slab *slab, bool force) {
  uint32_t capacity = paged->directory_capacity;
  if (capacity == 0 ? paged->segment_count < 1 : paged->segment_count < capacity) return true;
  uint32_t wanted = capacity == 0 ? 8 : capacity * 2;
  uint8_t **directory = nx_slab_alloc(slab, wanted * sizeof *directory, force);
  if (directory == NULL) return false;
  memcpy(directory, paged->segments, paged->segment_count * sizeof *directory);
  if (capacity != 0) nx_slab_free(slab, paged->segments, capacity * sizeof *directory);
  paged->segments = directory;
  paged->directory_capacity = wanted;
  return true;
}

static bool add_page(nx_paged *paged, nx_slab *slab, bool force) {
  if (!reserve_directory(paged, slab, force)) return false;
  uint8_t *segment = nx_slab_page_alloc(slab, force);
  if (segment == NULL) return false;
  paged->segments[paged->segment_count++] = segment;
  paged->capacity += elements_in(paged, NX_PAGE_BYTES);
  return true;
}

bool nx_paged_reserve(nx_paged *paged, nx_slab *slab, uint64_t count, bool force) {
  while (paged->capacity < count) {
    uint64_t bytes = paged->segment_count == 0 ? 0 : single_bytes(paged);
    bool grown; /* by the step that fits the size */
    if (bytes >= NX_PAGE_BYTES) grown = add_page(paged, slab, force);
    else if (bytes == 0) grown = resize_single(paged, slab, SINGLE_BYTES_MIN, force);
    else grown = resize_single(paged, slab, bytes < SINGLE_BYTES_MAX ? bytes * 2 : NX_PAGE_BYTES, force);
    if (!grown) return false;
  }
  return true;
}

void nx_paged_trim(nx_paged *paged, nx_slab *slab, uint64_t count) {
  uint64_t per_page = elements_in(paged, NX_PAGE_BYTES);
  while (paged->segment_count > 1 && paged->capacity - count >= per_page + per_page / 2) {
    segment_free(slab, paged->segments[--paged->segment_count], NX_PAGE_BYTES);
    paged->capacity -= per_page;
  }
  if (paged->segment_count != 1) return;
  uint64_t bytes = single_bytes(paged);
  if (bytes > SINGLE_BYTES_MIN && count < paged->capacity / 16) {
    /* Shrinking is a courtesy: where the limit leaves no room for the smaller block, the larger one stays. */
    (void)resize_single(paged, slab, bytes > SINGLE_BYTES_MAX ? SINGLE_BYTES_MAX : bytes / 2, false);
  }
}

void nx_paged_free(nx_paged *paged, nx_slab *slab) {
  if (paged->segment_count == 1) {
    segment_free(slab, paged->segments[0], single_bytes(paged));
  } else {
    for (uint32_t i = 0; i < paged->segment_count; i++) segment_free(slab, paged->segments[i], NX_PAGE_BYTES);
  }
  if (paged->directory_capacity != 0) {
    nx_slab_free(slab, paged->segments, paged->directory_capacity * sizeof *paged->segments);
  }
  nx_paged_init(paged, 1u << paged->element_shift);
}
