/* The hash table of overlay.h: linear probing, grown at two thirds, built anew when most of it is not needed any more. */
#include "overlay.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 1024u
#define BLOCK 512u

static uint64_t slot_of(uint64_t unit, uint64_t capacity) {
  return (unit * UINT64_C(0x9e3779b97f4a7c15)) >> 20 & (capacity - 1);
}

static void set_capacity(nx_overlay *overlay, uint64_t capacity) {
  overlay->entries = malloc(capacity * sizeof *overlay->entries);
  NX_ASSERT(overlay->entries != NULL);
  for (uint64_t index = 0; index < capacity; index++) overlay->entries[index].unit = NX_OVERLAY_NONE;
  overlay->capacity = capacity;
  overlay->count = 0;
}

/* The entry of a unit, or the free one where it would go. */
static nx_overlay_entry *find(const nx_overlay *overlay, uint64_t unit) {
  for (uint64_t slot = slot_of(unit, overlay->capacity);; slot = (slot + 1) & (overlay->capacity - 1)) {
    nx_overlay_entry *entry = &overlay->entries[slot];
    if (entry->unit == unit || entry->unit == NX_OVERLAY_NONE) return entry;
  }
}

static void rebuild(nx_overlay *overlay, uint64_t capacity) {
  nx_overlay old = *overlay;
  set_capacity(overlay, capacity);
  for (uint64_t index = 0; index < old.capacity; index++) {
    if (old.entries[index].unit == NX_OVERLAY_NONE) continue;
    *find(overlay, old.entries[index].unit) = old.entries[index];
    overlay->count += 1;
  }
  free(old.entries);
}

static nx_overlay_entry *demand(nx_overlay *overlay, uint64_t unit) {
  if (overlay->capacity == 0) set_capacity(overlay, CAPACITY_MIN);
  nx_overlay_entry *entry = find(overlay, unit);
  if (entry->unit == unit) return entry;
  if ((overlay->count + 1) * 3 > overlay->capacity * 2) {
    rebuild(overlay, overlay->capacity * 2);
    entry = find(overlay, unit);
  }
  overlay->count += 1;
  entry->unit = unit;
  for (uint32_t place = 0; place < 8; place++) entry->place[place] = NX_OVERLAY_NONE;
  return entry;
}

void nx_overlay_free(nx_overlay *overlay) {
  free(overlay->entries);
  overlay->entries = NULL;
  overlay->capacity = overlay->count = 0;
}

void nx_overlay_put(nx_overlay *overlay, uint64_t address, uint64_t blocks, uint64_t position) {
  uint64_t step = (position & NX_OVERLAY_ZERO) != 0 ? 0 : 1;
  for (uint64_t end = address + blocks; address < end;) {
    nx_overlay_entry *entry = demand(overlay, address / 8);
    do {
      entry->place[address % 8] = position;
      position += step;
      address += 1;
    } while (address < end && address % 8 != 0);
  }
}

static uint64_t place_of(const nx_overlay *overlay, uint64_t address) {
  if (overlay->count == 0) return NX_OVERLAY_NONE;
  const nx_overlay_entry *entry = find(overlay, address / 8);
  return entry->unit == NX_OVERLAY_NONE ? NX_OVERLAY_NONE : entry->place[address % 8];
}

/* Appends, or makes the last stretch of this call longer. */
static void add(nx_buffer *stretches, uint64_t first, nx_stretch next, uint64_t length_max) {
  if (stretches->length > first) {
    nx_stretch *last = (nx_stretch *)(void *)(stretches->data + stretches->length - sizeof next);
    bool continues = last->source == next.source && last->to + last->length == next.to &&
                     (next.source == NX_SOURCE_ZERO || last->from + last->length == next.from) &&
                     (next.source == NX_SOURCE_ZERO || last->length + next.length <= length_max);
    if (continues) {
      last->length += next.length;
      return;
    }
  }
  nx_buffer_append(stretches, &next, sizeof next);
}

static nx_stretch stretch_of(const nx_overlay *overlay, uint64_t place, uint64_t within) {
  if ((place & NX_OVERLAY_ZERO) != 0) return (nx_stretch){.source = NX_SOURCE_ZERO};
  uint64_t from = overlay->ring_start + place * BLOCK % overlay->ring_bytes + within;
  return (nx_stretch){.source = NX_SOURCE_LOG, .from = from};
}

void nx_overlay_plan(const nx_overlay *overlay, uint64_t offset, uint64_t length, uint64_t to, nx_buffer *stretches) {
  uint64_t first = stretches->length;
  for (uint64_t done = 0; done < length;) {
    uint64_t at = offset + done, within = at % BLOCK;
    uint64_t place = place_of(overlay, at / BLOCK);
    uint64_t bytes = BLOCK - within;
    /* A whole unit that nobody wrote to is the common case. */
    if (overlay->count == 0) bytes = length - done;
    else if (place == NX_OVERLAY_NONE && at % (8 * BLOCK) == 0 &&
             find(overlay, at / (8 * BLOCK))->unit == NX_OVERLAY_NONE)
      bytes = 8 * BLOCK;
    if (bytes > length - done) bytes = length - done;
    nx_stretch next = place == NX_OVERLAY_NONE ? (nx_stretch){.source = NX_SOURCE_DATA, .from = at}
                                               : stretch_of(overlay, place, within);
    next.length = bytes;
    next.to = to + done;
    add(stretches, first, next, UINT64_MAX);
    done += bytes;
  }
}

static int by_unit(const void *left, const void *right) {
  uint64_t a = (*(const nx_overlay_entry *const *)left)->unit, b = (*(const nx_overlay_entry *const *)right)->unit;
  return a < b ? -1 : a > b;
}

static bool is_before(uint64_t place, uint64_t limit) {
  return place != NX_OVERLAY_NONE && (place & ~NX_OVERLAY_ZERO) < limit;
}

static bool has_before(const nx_overlay_entry *entry, uint64_t limit) {
  if (entry->unit == NX_OVERLAY_NONE) return false;
  bool has = false;
  for (uint32_t place = 0; place < 8; place++) has |= is_before(entry->place[place], limit);
  return has;
}

static bool is_needed(const nx_overlay_entry *entry) {
  bool is = false;
  for (uint32_t place = 0; place < 8; place++) is |= entry->place[place] != NX_OVERLAY_NONE;
  return is;
}

void nx_overlay_collect(const nx_overlay *overlay, uint64_t limit, uint64_t length_max, nx_buffer *stretches) {
  if (overlay->count == 0) return;
  const nx_overlay_entry **sorted = malloc(overlay->count * sizeof *sorted);
  NX_ASSERT(sorted != NULL);
  uint64_t count = 0;
  for (uint64_t index = 0; index < overlay->capacity; index++)
    if (has_before(&overlay->entries[index], limit)) sorted[count++] = &overlay->entries[index];
  qsort(sorted, count, sizeof *sorted, by_unit);
  uint64_t first = stretches->length;
  for (uint64_t index = 0; index < count; index++) {
    for (uint32_t place = 0; place < 8; place++) {
      if (!is_before(sorted[index]->place[place], limit)) continue;
      nx_stretch next = stretch_of(overlay, sorted[index]->place[place], 0);
      next.length = BLOCK;
      next.to = (sorted[index]->unit * 8 + place) * BLOCK;
      add(stretches, first, next, length_max);
    }
  }
  free(sorted);
}

void nx_overlay_drop(nx_overlay *overlay, uint64_t limit) {
  if (overlay->count == 0) return;
  uint64_t left = 0;
  for (uint64_t index = 0; index < overlay->capacity; index++) {
    nx_overlay_entry *entry = &overlay->entries[index];
    if (entry->unit == NX_OVERLAY_NONE) continue;
    for (uint32_t place = 0; place < 8; place++)
      if (is_before(entry->place[place], limit)) entry->place[place] = NX_OVERLAY_NONE;
    left += is_needed(entry);
  }
  /* What is not needed any more goes with the old table, when that is worth building another. */
  if (left * 2 > overlay->count) return;
  nx_overlay old = *overlay;
  uint64_t capacity = CAPACITY_MIN;
  while (capacity < left * 2) capacity *= 2;
  set_capacity(overlay, capacity);
  for (uint64_t index = 0; index < old.capacity; index++) {
    const nx_overlay_entry *entry = &old.entries[index];
    if (entry->unit == NX_OVERLAY_NONE || !is_needed(entry)) continue;
    *find(overlay, entry->unit) = *entry;
    overlay->count += 1;
  }
  free(old.entries);
}
