/*
 * Pages live in regions of reserved address space and move between four states: fresh (never touched), in
 * use, warm (free, memory kept for the next user) and cold (free, memory given back). Only in-use and warm
 * pages count as memory. The lists of free pages are outside the pages, because a link inside would make a
 * cold page resident again.
 *
 * Regions are for huge pages (2 MiB on x86-64) where the kernel has them: almost every access to a large store misses the
 * processor's table of small ones. A region that gave memory back has small ones from then on, because the kernel would fill the
 * hole again when it next joins pages.
 *
 * Under AddressSanitizer free blocks are poisoned, so the C tests see a use after free inside a page as well.
 */
#include "slab.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "nx.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define POISON(address, bytes) ASAN_POISON_MEMORY_REGION(address, bytes)
#define UNPOISON(address, bytes) ASAN_UNPOISON_MEMORY_REGION(address, bytes)
#else
#define POISON(address, bytes) ((void)0)
#define UNPOISON(address, bytes) ((void)0)
#endif

#define REGION_BYTES (UINT64_C(8) << 20) /* a power of two: regions are aligned to it */
#define PAGE_HEADER_BYTES 64u
#define WARM_PAGES_MIN 16u

/* The first 64 bytes of a page of blocks. Offsets are in units of 8 bytes; 0 means none. */
struct nx_slab_page {
  nx_slab_page *next, *previous; /* among the pages of the class that have a free block */
  uint32_t block_bytes;
  uint16_t class;
  uint16_t used;
  uint16_t capacity;
  uint16_t cut;  /* blocks ever handed out; those after it were never touched */
  uint16_t free; /* offset of the first free block; its first two bytes hold the next offset */
};
_Static_assert(sizeof(nx_slab_page) <= PAGE_HEADER_BYTES, "blocks start at 64");

/* Before each block from malloc, so that destroy finds them. */
struct nx_large {
  nx_large *next, *previous;
};

/* Multiples of 64 that fill a page with 60 to 4 blocks and little waste. */
static const uint16_t wide_classes[] = {1088, 1216, 1344, 1472, 1600, 1728,  1856,  1984, 2112, 2240,
                                        2496, 2688, 2944, 3264, 3584, 3840,  4352,  4672, 4992, 5440,
                                        5952, 6528, 7232, 8128, 9344, 10880, 13056, 16320};
#define WIDE_CLASSES (sizeof wide_classes / sizeof wide_classes[0])
_Static_assert(96 + WIDE_CLASSES == NX_SLAB_CLASSES, "64 steps of 8, 32 steps of 16, then the wide classes");

static uint32_t class_of(uint64_t size) {
  if (size <= 512) return size == 0 ? 0 : (uint32_t)((size - 1) / 8);
  if (size <= 1024) return 64 + (uint32_t)((size - 513) / 16);
  uint32_t low = 0, high = WIDE_CLASSES - 1;
  while (low < high) {
    uint32_t middle = (low + high) / 2;
    if (wide_classes[middle] >= size) high = middle;
    else low = middle + 1;
  }
  return 96 + low;
}

static uint32_t class_bytes(uint32_t class) {
  if (class < 64) return (class + 1) * 8;
  if (class < 96) return 512 + (class - 63) * 16;
  return wide_classes[class - 96];
}

/* Rounds up to eighths of a power of two, so that a growing value is moved a logarithmic number of times. */
static uint64_t large_bytes(uint64_t size) {
  uint64_t step = (UINT64_C(1) << (63 - __builtin_clzll(size))) / 8;
  return (size + step - 1) / step * step;
}

uint64_t nx_slab_capacity(uint64_t size) {
  return size <= NX_SLAB_BLOCK_BYTES_MAX ? class_bytes(class_of(size)) : large_bytes(size);
}

static void stack_push(void ***stack, uint32_t *count, uint32_t *capacity, void *item) {
  if (*count == *capacity) {
    *capacity = *capacity == 0 ? 64 : *capacity * 2;
    *stack = realloc(*stack, *capacity * sizeof(void *));
    NX_ASSERT(*stack != NULL);
  }
  (*stack)[(*count)++] = item;
}

void nx_slab_init(nx_slab *slab, uint64_t memory_bytes_max) {
  *slab = (nx_slab){.memory_bytes_max = memory_bytes_max};
}

void nx_slab_destroy(nx_slab *slab) {
  for (uint32_t i = 0; i < slab->region_count; i++) {
    UNPOISON(slab->regions[i], REGION_BYTES - (i + 1 == slab->region_count ? slab->fresh_bytes : 0));
    NX_ASSERT(munmap(slab->regions[i], REGION_BYTES) == 0);
  }
  while (slab->large != NULL) {
    nx_large *next = slab->large->next;
    free(slab->large);
    slab->large = next;
  }
  free(slab->warm);
  free(slab->cold);
  free(slab->regions);
  nx_slab_init(slab, slab->memory_bytes_max);
}

/* --- pages ---------------------------------------------------------------------------------------------- */

static void *region_of(const void *page) { return (void *)((uintptr_t)page & ~(uintptr_t)(REGION_BYTES - 1)); }

static void cool_one(nx_slab *slab) {
  void *page = slab->warm[--slab->warm_count];
  (void)madvise(region_of(page), REGION_BYTES, MADV_NOHUGEPAGE);
  NX_ASSERT(madvise(page, NX_PAGE_BYTES, MADV_DONTNEED) == 0);
  stack_push(&slab->cold, &slab->cold_count, &slab->cold_capacity, page);
  slab->memory_bytes -= NX_PAGE_BYTES;
}

static bool has_room(const nx_slab *slab, uint64_t bytes) {
  return slab->memory_bytes_max == 0 || slab->memory_bytes + bytes <= slab->memory_bytes_max;
}

bool nx_slab_has_pages(const nx_slab *slab, uint32_t pages) {
  return slab->warm_count >= pages || has_room(slab, (uint64_t)(pages - slab->warm_count) * NX_PAGE_BYTES);
}

/* Counts `bytes` as taken from the system; false when the limit forbids it. */
static bool take(nx_slab *slab, uint64_t bytes, bool force) {
  while (!has_room(slab, bytes) && slab->warm_count != 0) cool_one(slab);
  if (!force && !has_room(slab, bytes)) return false;
  slab->memory_bytes += bytes;
  if (slab->memory_bytes > slab->memory_peak_bytes) slab->memory_peak_bytes = slab->memory_bytes;
  return true;
}

static void map_region(nx_slab *slab) {
  uint64_t reserved = 2 * REGION_BYTES;
  uint8_t *base =
      mmap(NULL, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  NX_ASSERT(base != MAP_FAILED);
  uint8_t *aligned = region_of(base + REGION_BYTES - 1);
  if (aligned != base) munmap(base, (size_t)(aligned - base));
  uint8_t *end = aligned + REGION_BYTES;
  if (end != base + reserved) munmap(end, (size_t)(base + reserved - end));
  (void)madvise(aligned, REGION_BYTES, MADV_HUGEPAGE);
  stack_push(&slab->regions, &slab->region_count, &slab->region_capacity, aligned);
  slab->fresh = aligned;
  slab->fresh_bytes = REGION_BYTES;
}

void *nx_slab_page_alloc(nx_slab *slab, bool force) {
  void *page;
  if (slab->warm_count != 0) {
    page = slab->warm[--slab->warm_count];
  } else {
    if (!take(slab, NX_PAGE_BYTES, force)) return NULL;
    if (slab->cold_count != 0) {
      page = slab->cold[--slab->cold_count];
    } else {
      if (slab->fresh_bytes == 0) map_region(slab);
      page = slab->fresh;
      slab->fresh += NX_PAGE_BYTES;
      slab->fresh_bytes -= NX_PAGE_BYTES;
    }
  }
  UNPOISON(page, NX_PAGE_BYTES);
  slab->pages_used += 1;
  return page;
}

void nx_slab_page_free(nx_slab *slab, void *page) {
  NX_ASSERT(slab->pages_used != 0 && ((uintptr_t)page & (NX_PAGE_BYTES - 1)) == 0);
  POISON(page, NX_PAGE_BYTES);
  slab->pages_used -= 1;
  stack_push(&slab->warm, &slab->warm_count, &slab->warm_capacity, page);
  uint32_t keep = slab->pages_used / 16 + WARM_PAGES_MIN;
  if (slab->warm_count > keep) cool_one(slab);
}

/* --- blocks --------------------------------------------------------------------------------------------- */

static void link_page(nx_slab *slab, nx_slab_page *page) {
  nx_slab_page **head = &slab->partial[page->class];
  page->previous = NULL;
  page->next = *head;
  if (*head != NULL) (*head)->previous = page;
  *head = page;
}

static void unlink_page(nx_slab *slab, nx_slab_page *page) {
  if (page->previous != NULL) page->previous->next = page->next;
  else slab->partial[page->class] = page->next;
  if (page->next != NULL) page->next->previous = page->previous;
}

static nx_slab_page *new_page(nx_slab *slab, uint32_t class, bool force) {
  nx_slab_page *page = nx_slab_page_alloc(slab, force);
  if (page == NULL) return NULL;
  uint32_t bytes = class_bytes(class);
  *page = (nx_slab_page){
      .block_bytes = bytes,
      .class = (uint16_t)class,
      .capacity = (uint16_t)((NX_PAGE_BYTES - PAGE_HEADER_BYTES) / bytes),
  };
  POISON((uint8_t *)page + PAGE_HEADER_BYTES, NX_PAGE_BYTES - PAGE_HEADER_BYTES);
  link_page(slab, page);
  return page;
}

static void *large_alloc(nx_slab *slab, uint64_t size, bool force) {
  uint64_t bytes = sizeof(nx_large) + large_bytes(size);
  if (!take(slab, bytes, force)) return NULL;
  nx_large *large = malloc(bytes);
  NX_ASSERT(large != NULL);
  *large = (nx_large){.next = slab->large};
  if (slab->large != NULL) slab->large->previous = large;
  slab->large = large;
  return large + 1;
}

static void large_free(nx_slab *slab, void *block, uint64_t size) {
  nx_large *large = (nx_large *)block - 1;
  if (large->previous != NULL) large->previous->next = large->next;
  else slab->large = large->next;
  if (large->next != NULL) large->next->previous = large->previous;
  slab->memory_bytes -= sizeof(nx_large) + large_bytes(size);
  free(large);
}

void *nx_slab_alloc(nx_slab *slab, uint64_t size, bool force) {
  if (size > NX_SLAB_BLOCK_BYTES_MAX) return large_alloc(slab, size, force);
  uint32_t class = class_of(size);
  nx_slab_page *page = slab->partial[class];
  if (page == NULL && (page = new_page(slab, class, force)) == NULL) return NULL;
  uint8_t *block;
  if (page->free != 0) {
    block = (uint8_t *)page + page->free * 8u;
    UNPOISON(block, page->block_bytes);
    memcpy(&page->free, block, sizeof page->free);
  } else {
    block = (uint8_t *)page + PAGE_HEADER_BYTES + page->cut * page->block_bytes;
    UNPOISON(block, page->block_bytes);
    page->cut += 1;
  }
  page->used += 1;
  if (page->used == page->capacity) unlink_page(slab, page);
  return block;
}

void nx_slab_free(nx_slab *slab, void *block, uint64_t size) {
  if (size > NX_SLAB_BLOCK_BYTES_MAX) {
    large_free(slab, block, size);
    return;
  }
  nx_slab_page *page = (nx_slab_page *)((uintptr_t)block & ~(uintptr_t)(NX_PAGE_BYTES - 1));
  NX_ASSERT(page->class == class_of(size) && page->used != 0);
  if (page->used == page->capacity) link_page(slab, page);
  memcpy(block, &page->free, sizeof page->free);
  page->free = (uint16_t)(((uintptr_t)block & (NX_PAGE_BYTES - 1)) / 8);
  POISON(block, page->block_bytes);
  page->used -= 1;
  if (page->used == 0) {
    unlink_page(slab, page);
    nx_slab_page_free(slab, page);
  }
}
