/*
 * Records of one channel: pushed, taken, taken back, with an effect for each change.
 *
 * Invariant: `used` of the set is the sum over all rings, and an effect is recorded for what was stored, never
 * for what was refused.
 */
#include <errno.h>

#include "effects.h"

bool nx_queue_store(nx_queue *queue, nx_slice value, nx_queue_end end) {
  nx_ring *ring = &queue->ring;
  uint8_t *to =
      end == NX_BACK ? nx_ring_add_back(ring, value.length) : nx_ring_add_front(ring, value.length);
  if (to == NULL) return false;
  nx_copy(to, value.data, value.length);
  queue->owner->used += NX_RING_RECORD_BYTES + value.length;
  if (ring->count > queue->records_max) queue->records_max = ring->count;
  if (ring->used > queue->used_max) queue->used_max = ring->used;
  return true;
}

uint64_t nx_queue_forget(nx_queue *queue, nx_queue_end end, uint64_t count) {
  nx_ring *ring = &queue->ring;
  if (count == 0) return 0;
  if (nx_is_exporting(queue)) {
    if (end == NX_FRONT) nx_export_before_front(queue, count);
    else if (ring->number + (int64_t)(ring->count - count) < queue->owner->export.end) nx_export_rest(queue);
  }
  uint64_t before = ring->used;
  if (count == ring->count) {
    nx_ring_clear(ring);
    queue->owner->has_no_leftovers = false;
  } else if (end == NX_FRONT) {
    for (uint64_t index = 0; index < count; index++) nx_ring_drop_front(ring);
  } else {
    for (uint64_t index = 0; index < count; index++) nx_ring_drop_back(ring);
  }
  queue->owner->used -= before - ring->used;
  return before - ring->used - count * NX_RING_RECORD_BYTES;
}

bool nx_queue_widen(nx_queue *queue, uint64_t length) {
  uint64_t needed = queue->ring.used + NX_RING_RECORD_BYTES + length;
  uint64_t capacity = queue->ring.near.capacity;
  nx_export_rest(queue);
  return nx_ring_relay(&queue->ring, needed > capacity ? needed : capacity);
}

/* Lets go of records and records that; returns their bytes. */
static uint64_t drop(nx_queue *queue, nx_queue_end end, uint64_t count) {
  uint64_t bytes = nx_queue_forget(queue, end, count);
  nx_queue_record_number(queue, end == NX_FRONT ? NX_Q_DROP_FRONT : NX_Q_DROP_BACK, count);
  nx_queue_tell(queue, NX_QUEUE_CHANGED);
  return bytes;
}

/* Lets go of the oldest records until one of this length fits. */
static bool make_room(nx_queue *queue, nx_slice value, nx_queue_end end) {
  if (queue->owner->settings[NX_QUEUES_DROPS_OLDEST] == 0) return false;
  uint64_t size = value.length + NX_RING_RECORD_BYTES;
  if (size > queue->ring.near.capacity) return false;
  while (queue->ring.count > 0) {
    /* The oldest are those at the other end. */
    drop(queue, end == NX_BACK ? NX_FRONT : NX_BACK, 1);
    queue->owner->counts.dropped += 1;
    if (nx_queue_store(queue, value, end)) return true;
  }
  return nx_queue_store(queue, value, end);
}

static int push_here(nx_queue *queue, nx_slice value, nx_queue_end end) {
  if (!nx_queue_store(queue, value, end) && !make_room(queue, value, end)) {
    queue->owner->counts.refused += 1;
    return -ENOSPC;
  }
  queue->owner->counts.pushed += 1;
  queue->owner->counts.pushed_bytes += value.length;
  nx_queue_record_value(queue, end == NX_BACK ? NX_Q_PUSH_BACK : NX_Q_PUSH_FRONT, value.data, value.length);
  nx_queue_tell(queue, NX_QUEUE_GREW);
  return 0;
}

int nx_queue_push(nx_queue *queue, nx_slice value, nx_queue_end end) {
  nx_queues *queues = queue->owner;
  uint64_t copies = queue->storage_count == 0 ? 1 : queue->storage_count;
  if (!nx_queues_have_room(queues, copies * value.length)) {
    queues->counts.refused += 1;
    return -ENOMEM;
  }
  if (__builtin_expect(queue->storage_count == 0, 1)) return push_here(queue, value, end);
  int outcome = 0;
  for (uint32_t index = 0; index < queue->storage_count; index++) {
    int stored = push_here(queue->storages[index], value, end);
    if (stored != 0) outcome = stored;
  }
  return outcome;
}

void nx_queue_drop(nx_queue *queue, nx_queue_end end, uint64_t count) {
  if (count > queue->ring.count) count = queue->ring.count;
  if (count == 0) return;
  queue->owner->counts.popped += count;
  queue->owner->counts.popped_bytes += drop(queue, end, count);
}

void nx_queue_undo(nx_queue *queue, nx_queue_end end, uint64_t count, uint64_t effects_length) {
  queue->owner->counts.pushed -= count;
  queue->owner->counts.pushed_bytes -= nx_queue_forget(queue, end, count);
  queue->owner->effects.length = effects_length;
}

bool nx_queues_drops_oldest(const nx_queues *queues) { return queues->settings[NX_QUEUES_DROPS_OLDEST] != 0; }

uint64_t nx_queues_ring_bytes(const nx_queues *queues) { return queues->settings[NX_QUEUES_CHANNEL_BYTES]; }

bool nx_queues_have_room(const nx_queues *queues, uint64_t bytes) {
  uint64_t used_max = queues->settings[NX_QUEUES_SIZE_BYTES_MAX];
  return used_max == 0 || queues->used + bytes <= used_max;
}
