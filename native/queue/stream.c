/* The entries of a stream; see stream.h. */
#include "stream.h"

#include <errno.h>
#include <stdlib.h>

#include "effects.h"

#define DELETED 1u

nx_stream *nx_stream_make(void) {
  nx_stream *stream = calloc(1, sizeof *stream);
  NX_ASSERT(stream != NULL);
  stream->seed = 0x9e3779b97f4a7c15u;
  return stream;
}

static nx_stream_id id_of(nx_slice record) {
  return (nx_stream_id){nx_load64(record.data), nx_load64(record.data + 8)};
}

static bool is_deleted(nx_slice record) { return (nx_load32(record.data + 16) & DELETED) != 0; }

nx_entry nx_stream_at(const nx_queue *queue, uint64_t index) {
  nx_slice record = nx_ring_at(&queue->ring, index);
  return (nx_entry){
      .id = id_of(record),
      .is_deleted = is_deleted(record),
      .strings = nx_load32(record.data + 20),
      .bytes = {record.data + NX_ENTRY_HEADER_BYTES, record.length - NX_ENTRY_HEADER_BYTES},
  };
}

nx_slice nx_entry_string(nx_slice *rest) {
  uint32_t length = nx_load32(rest->data);
  nx_slice string = {rest->data + 4, length};
  *rest = (nx_slice){rest->data + 4 + length, rest->length - 4 - length};
  return string;
}

uint64_t nx_stream_lower(const nx_queue *queue, nx_stream_id id) {
  uint64_t low = 0, high = queue->ring.count;
  while (low < high) {
    uint64_t middle = low + (high - low) / 2;
    if (nx_id_compare(id_of(nx_ring_at(&queue->ring, middle)), id) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

bool nx_stream_find(const nx_queue *queue, nx_stream_id id, nx_entry *entry) {
  uint64_t index = nx_stream_lower(queue, id);
  if (index == queue->ring.count) return false;
  *entry = nx_stream_at(queue, index);
  return !entry->is_deleted && nx_id_compare(entry->id, id) == 0;
}

nx_stream_id nx_stream_first_id(const nx_queue *queue) {
  return queue->ring.count == 0 ? (nx_stream_id){0, 0} : id_of(nx_ring_at(&queue->ring, 0));
}

/* Deleted entries at an end have nothing to wait for; and the last id may be set back (XSETID) to that of the last
 * entry that is left. */
static void shed(nx_queue *queue) {
  const nx_ring *ring = &queue->ring;
  while (ring->count > 0 && is_deleted(nx_ring_at(ring, 0))) nx_queue_forget(queue, NX_FRONT, 1);
  while (ring->count > 0 && is_deleted(nx_ring_at(ring, ring->count - 1))) nx_queue_forget(queue, NX_BACK, 1);
}

/* Moves what is left together when deleted entries fill the ring; false when there are none. */
static bool compact(nx_queue *queue) {
  nx_ring *ring = &queue->ring;
  if (queue->stream->length == ring->count) return false;
  nx_export_rest(queue);
  nx_ring fresh = {.near.capacity = ring->near.capacity, .number = ring->number};
  for (uint64_t index = 0; index < ring->count; index++) {
    nx_slice record = nx_ring_at(ring, index);
    if (is_deleted(record)) continue;
    uint8_t *to = nx_ring_add_back(&fresh, record.length);
    NX_ASSERT(to != NULL);
    memcpy(to, record.data, record.length);
  }
  queue->owner->used -= ring->used - fresh.used;
  nx_ring_free(ring);
  *ring = fresh;
  return true;
}

/* Lets go of the oldest entries and records that; returns their bytes. */
static uint64_t trim(nx_queue *queue, uint64_t count) {
  uint64_t bytes = nx_stream_replay_trim(queue, count);
  nx_queue_record_number(queue, NX_Q_TRIM, count);
  nx_queue_tell(queue, NX_QUEUE_CHANGED);
  return bytes;
}

static uint8_t *room_for(nx_queue *queue, uint64_t length) {
  uint8_t *to = nx_ring_add_back(&queue->ring, length);
  if (to == NULL && compact(queue)) to = nx_ring_add_back(&queue->ring, length);
  if (to != NULL || queue->owner->settings[NX_QUEUES_DROPS_OLDEST] == 0) return to;
  if (length + NX_RING_RECORD_BYTES > queue->ring.near.capacity) return NULL;
  while (to == NULL && queue->stream->length > 0) {
    trim(queue, 1);
    queue->owner->counts.dropped += 1;
    to = nx_ring_add_back(&queue->ring, length);
  }
  return to;
}

static void took_in(nx_queue *queue, nx_stream_id id, uint64_t length) {
  queue->owner->used += NX_RING_RECORD_BYTES + length;
  if (queue->ring.count > queue->records_max) queue->records_max = queue->ring.count;
  if (queue->ring.used > queue->used_max) queue->used_max = queue->ring.used;
  queue->stream->last = id;
  queue->stream->added += 1;
  queue->stream->length += 1;
}

int nx_stream_add(nx_queue *queue, nx_stream_id id, const nx_slice *strings, uint32_t count) {
  const nx_queues *queues = queue->owner;
  uint64_t length = NX_ENTRY_HEADER_BYTES;
  for (uint32_t index = 0; index < count; index++) length += 4 + strings[index].length;
  if (length > UINT32_MAX || !nx_queues_have_room(queues, length)) {
    queue->owner->counts.refused += 1;
    return -ENOMEM;
  }
  uint8_t *to = room_for(queue, length);
  if (to == NULL) {
    queue->owner->counts.refused += 1;
    return -ENOSPC;
  }
  const uint8_t *record = to;
  nx_store64(to, id.ms);
  nx_store64(to + 8, id.sequence);
  nx_store32(to + 16, 0);
  nx_store32(to + 20, count);
  to += NX_ENTRY_HEADER_BYTES;
  for (uint32_t index = 0; index < count; index++) {
    nx_store32(to, (uint32_t)strings[index].length);
    nx_copy(to + 4, strings[index].data, strings[index].length);
    to += 4 + strings[index].length;
  }
  took_in(queue, id, length);
  queue->owner->counts.pushed += 1;
  queue->owner->counts.pushed_bytes += length;
  nx_queue_record_value(queue, NX_Q_ADD, record, length);
  nx_queue_tell(queue, NX_QUEUE_GREW);
  return 0;
}

/* Whether a record that comes from a log or a snapshot is an entry. */
static bool is_entry(nx_slice record) {
  if (record.length < NX_ENTRY_HEADER_BYTES || nx_load32(record.data + 16) > DELETED) return false;
  uint32_t strings = nx_load32(record.data + 20);
  if (strings < 2 || strings % 2 != 0) return false;
  uint64_t at = NX_ENTRY_HEADER_BYTES;
  for (uint32_t index = 0; index < strings; index++) {
    if (record.length - at < 4) return false;
    uint32_t length = nx_load32(record.data + at);
    at += 4;
    if (record.length - at < length) return false;
    at += length;
  }
  return at == record.length;
}

bool nx_stream_replay_add(nx_queue *queue, nx_slice record) {
  if (!is_entry(record)) return false;
  nx_stream_id id = id_of(record);
  uint64_t count = queue->ring.count;
  if (count > 0 && nx_id_compare(id_of(nx_ring_at(&queue->ring, count - 1)), id) >= 0) return false;
  uint8_t *to = nx_ring_add_back(&queue->ring, record.length);
  if (to == NULL && nx_queue_widen(queue, record.length)) to = nx_ring_add_back(&queue->ring, record.length);
  if (to == NULL) return false;
  memcpy(to, record.data, record.length);
  took_in(queue, id, record.length);
  if (is_deleted(record)) queue->stream->length -= 1;
  return true;
}

/* Returns the bytes of the entry; 0 when there is none. */
static uint64_t mark_deleted(nx_queue *queue, nx_stream_id id) {
  nx_stream *stream = queue->stream;
  nx_entry entry;
  if (!nx_stream_find(queue, id, &entry)) return 0;
  nx_export_rest(queue);
  uint8_t *record = queue->ring.near.bytes + (entry.bytes.data - NX_ENTRY_HEADER_BYTES - queue->ring.near.bytes);
  nx_store32(record + 16, DELETED);
  stream->length -= 1;
  if (nx_id_compare(id, stream->deleted_max) > 0) stream->deleted_max = id;
  return NX_ENTRY_HEADER_BYTES + entry.bytes.length;
}

uint64_t nx_stream_delete(nx_queue *queue, const nx_stream_id *ids, uint32_t count) {
  uint64_t deleted = 0, bytes = 0;
  for (uint32_t index = 0; index < count; index++) {
    uint64_t length = mark_deleted(queue, ids[index]);
    deleted += length > 0;
    bytes += length;
  }
  if (deleted == 0) return 0;
  queue->owner->counts.popped += deleted;
  queue->owner->counts.popped_bytes += bytes;
  shed(queue);
  uint8_t *value = nx_queue_record(queue, NX_Q_DELETE, 16u * count);
  for (uint32_t index = 0; value != NULL && index < count; index++) {
    nx_store64(value + 16 * index, ids[index].ms);
    nx_store64(value + 16 * index + 8, ids[index].sequence);
  }
  nx_queue_tell(queue, NX_QUEUE_CHANGED);
  return deleted;
}

void nx_stream_replay_delete(nx_queue *queue, nx_slice ids) {
  for (uint64_t at = 0; at < ids.length; at += 16) mark_deleted(queue, id_of((nx_slice){ids.data + at, 16}));
  shed(queue);
}

uint64_t nx_stream_replay_trim(nx_queue *queue, uint64_t count) {
  uint64_t bytes = 0;
  for (; count > 0 && queue->stream->length > 0; count--) {
    bytes += nx_queue_forget(queue, NX_FRONT, 1);
    queue->stream->length -= 1;
    shed(queue);
  }
  return bytes;
}

void nx_stream_trim(nx_queue *queue, uint64_t count) {
  if (count > queue->stream->length) count = queue->stream->length;
  if (count == 0) return;
  queue->owner->counts.popped += count;
  queue->owner->counts.popped_bytes += trim(queue, count);
}

static void store_id(uint8_t *to, nx_stream_id id) {
  nx_store64(to, id.ms);
  nx_store64(to + 8, id.sequence);
}

static void store_state(uint8_t *to, const nx_stream *stream) {
  store_id(to, stream->last);
  store_id(to + 16, stream->deleted_max);
  nx_store64(to + 32, stream->added);
}

void nx_stream_set(nx_queue *queue, nx_stream_id last, nx_stream_id deleted_max, uint64_t added) {
  nx_stream *stream = queue->stream;
  stream->last = last;
  stream->deleted_max = deleted_max;
  stream->added = added;
  uint8_t *value = nx_queue_record(queue, NX_Q_STATE, 40);
  if (value != NULL) store_state(value, stream);
}

void nx_stream_replay_state(nx_queue *queue, nx_slice value) {
  queue->stream->last = id_of(value);
  queue->stream->deleted_max = id_of((nx_slice){value.data + 16, 16});
  queue->stream->added = nx_load64(value.data + 32);
}

void nx_stream_export_state(const nx_queue *queue, nx_buffer *out) {
  store_state(nx_effect_begin(out, NX_Q_STATE, 0, 0, nx_queue_name(queue), 40), queue->stream);
}
