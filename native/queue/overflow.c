/* See overflow.h. */
#include "overflow.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../nx.h"

#define STEP_BYTES (UINT64_C(1) << 20)

static int64_t offset_of(const nx_overflow *overflow, const nx_overflow_area *area) {
  return (int64_t)(area->number * overflow->area_bytes);
}

void nx_overflow_free(nx_overflow *overflow) {
  free(overflow->taken);
  *overflow = (nx_overflow){.file = -1};
}

static uint32_t free_number(nx_overflow *overflow) {
  uint32_t number = 0;
  while (number < overflow->area_count && overflow->taken[number]) number++;
  if (number < overflow->area_count) return number;
  uint32_t count = overflow->area_count == 0 ? 16 : overflow->area_count * 2;
  overflow->taken = realloc(overflow->taken, count * sizeof *overflow->taken);
  NX_ASSERT(overflow->taken != NULL);
  memset(overflow->taken + number, 0, (count - number) * sizeof *overflow->taken);
  overflow->area_count = count;
  return number;
}

uint8_t *nx_overflow_take(nx_overflow *overflow, nx_overflow_area *area) {
  *area = (nx_overflow_area){.number = free_number(overflow)};
  int64_t offset = offset_of(overflow, area), end = offset + (int64_t)overflow->area_bytes;
  int64_t length = lseek(overflow->file, 0, SEEK_END);
  if (length < 0 || (length < end && ftruncate(overflow->file, end) != 0)) return NULL;
  void *bytes = mmap(NULL, overflow->area_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, overflow->file, offset);
  if (bytes == MAP_FAILED) return NULL;
  overflow->taken[area->number] = true;
  return bytes;
}

bool nx_overflow_back(const nx_overflow *overflow, nx_overflow_area *area, uint64_t bytes) {
  if (bytes <= area->allocated) return true;
  uint64_t end = (bytes + STEP_BYTES - 1) & ~(STEP_BYTES - 1);
  if (end > overflow->area_bytes) end = overflow->area_bytes;
  int64_t from = offset_of(overflow, area) + (int64_t)area->allocated;
  if (fallocate(overflow->file, 0, from, (int64_t)(end - area->allocated)) != 0) return false;
  area->allocated = end;
  return true;
}

void nx_overflow_empty(const nx_overflow *overflow, nx_overflow_area *area) {
  if (area->allocated == 0) return;
  int result = fallocate(overflow->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset_of(overflow, area),
                         (int64_t)area->allocated);
  if (result == 0) area->allocated = 0; /* else it stays taken, for the next records */
}

void nx_overflow_give_back(nx_overflow *overflow, nx_overflow_area *area, uint8_t *bytes) {
  munmap(bytes, overflow->area_bytes);
  nx_overflow_empty(overflow, area);
  overflow->taken[area->number] = false;
}
