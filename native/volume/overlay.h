/*
 * Which blocks of a volume are in its log and not yet in its data file, and where in the log.
 *
 * A hash table of stretches of eight blocks of 512 bytes, each with eight places: a position in the endless log, in
 * blocks of 512 bytes, or NX_OVERLAY_NONE. The bit NX_OVERLAY_ZERO marks a block that a discard has made zero; the
 * rest of the number then still says when. 72 bytes for each 4 KiB that wait.
 *
 * Invariant: a later write replaces the place of an earlier one; positions only grow.
 */
#ifndef NX_VOLUME_OVERLAY_H
#define NX_VOLUME_OVERLAY_H
#include <stdbool.h>
#include <stdint.h>

#include "../buffer.h"
#include "../nx.h"
#include "../stretches.h"

#define NX_OVERLAY_NONE UINT64_MAX
#define NX_OVERLAY_ZERO (UINT64_C(1) << 62)

typedef struct {
  uint64_t unit; /* address / 8, or NX_OVERLAY_NONE */
  uint64_t place[8];
} nx_overlay_entry;

typedef struct {
  nx_overlay_entry *entries;
  uint64_t capacity, count; /* capacity is a power of two */
  uint64_t ring_start, ring_bytes; /* of the log's file: a position lies at its remainder */
} nx_overlay;

void nx_overlay_free(nx_overlay *overlay);
/* `position` is that of the first block; with NX_OVERLAY_ZERO all blocks have it. */
void nx_overlay_put(nx_overlay *overlay, uint64_t address, uint64_t blocks, uint64_t position);
/* Appends the stretches of [offset, offset + length), in bytes, in order; the first goes to `to`. */
void nx_overlay_plan(const nx_overlay *overlay, uint64_t offset, uint64_t length, uint64_t to, nx_buffer *stretches);
/* Appends what was written before `limit`, in the order of addresses, as stretches of at most `length_max` bytes. */
void nx_overlay_collect(const nx_overlay *overlay, uint64_t limit, uint64_t length_max, nx_buffer *stretches);
/* Forgets what was written before `limit`. */
void nx_overlay_drop(nx_overlay *overlay, uint64_t limit);

#endif
