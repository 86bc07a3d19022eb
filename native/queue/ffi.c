/* What TypeScript calls of the queues (src/native/queues.ts): the exported functions, one line each. */
#include "dead.h"
#include "internal.h"
#include "rq.h"

NX_API nx_queues *nx_queues_new(const double *settings, const uint64_t *seed);
NX_API void nx_queues_free(nx_queues *queues);
NX_API void nx_queues_configure(nx_queues *queues, const double *settings);
NX_API void nx_queues_prefix(nx_queues *queues, const uint8_t *prefix, uint64_t length, uint64_t bytes);
NX_API void nx_queues_bury_after(nx_queues *queues, uint64_t deliveries_max, const uint8_t *suffix,
                                 uint64_t length);
NX_API void nx_queues_overflow(nx_queues *queues, int32_t file, uint64_t area_bytes);
NX_API void nx_queues_logging(nx_queues *queues, bool is_on);
NX_API nx_buffer *nx_queues_effects_buffer(nx_queues *queues);
NX_API int64_t nx_queues_apply(nx_queues *queues, const uint8_t *bytes, uint64_t length, uint64_t *bad_offset);
NX_API void nx_queues_export_start(nx_queues *queues);
NX_API bool nx_queues_export_step(nx_queues *queues, uint64_t bytes_target, nx_buffer *out);
NX_API void nx_queues_export_stop(nx_queues *queues);
NX_API void nx_queues_housekeeping(nx_queues *queues);
/* Channels, records of lists, entries of streams, used bytes, memory, pushed, popped, refused, dropped,
 * bytes pushed, bytes popped: 11 u64. */
NX_API void nx_queues_figures(const nx_queues *queues, uint64_t *out);
/* They begin anew: what was loaded, nobody pushed. */
NX_API void nx_queues_forget_counts(nx_queues *queues);
NX_API void nx_queues_describe(nx_queues *queues, nx_buffer *out, bool forgets_peaks);
NX_API int32_t nx_queues_push(nx_queues *queues, const uint8_t *name, uint64_t name_length, const uint8_t *value,
                              uint64_t value_length);
NX_API uint32_t nx_queues_pop(nx_queues *queues, const uint8_t *name, uint64_t name_length, nx_buffer *out);
NX_API uint32_t nx_queues_subscribe(nx_queues *queues, const uint8_t *name, uint64_t name_length,
                                    const uint8_t *subscriber, uint64_t subscriber_length);
/* The channel's save file into `out`; false when it is no list. */
NX_API bool nx_queues_save(nx_queues *queues, const uint8_t *name, uint64_t name_length, nx_buffer *out);
/* 0 or a negative errno; see rq.h. A name with a zero byte is a subscriber's storage. */
NX_API int32_t nx_queues_load(nx_queues *queues, const uint8_t *name, uint64_t name_length, const uint8_t *bytes,
                              uint64_t length);
NX_API bool nx_queues_remove(nx_queues *queues, const uint8_t *name, uint64_t name_length);

nx_queues *nx_queues_new(const double *settings, const uint64_t *seed) {
  return nx_queues_make(settings, seed[0], seed[1]);
}

void nx_queues_free(nx_queues *queues) { nx_queues_drop(queues); }

void nx_queues_configure(nx_queues *queues, const double *settings) {
  nx_queues_settle_settings(queues, settings);
}

void nx_queues_prefix(nx_queues *queues, const uint8_t *prefix, uint64_t length, uint64_t bytes) {
  nx_queues_size_prefix(queues, (nx_slice){prefix, length}, bytes);
}

void nx_queues_bury_after(nx_queues *queues, uint64_t deliveries_max, const uint8_t *suffix, uint64_t length) {
  nx_queues_dead_letters(queues, deliveries_max, (nx_slice){suffix, length});
}

void nx_queues_overflow(nx_queues *queues, int32_t file, uint64_t area_bytes) {
  nx_queues_spill(queues, file, area_bytes);
}

void nx_queues_logging(nx_queues *queues, bool is_on) { nx_queues_log(queues, is_on); }
nx_buffer *nx_queues_effects_buffer(nx_queues *queues) { return nx_queues_effects(queues); }

int64_t nx_queues_apply(nx_queues *queues, const uint8_t *bytes, uint64_t length, uint64_t *bad_offset) {
  return nx_queues_replay(queues, bytes, length, bad_offset);
}

void nx_queues_export_start(nx_queues *queues) { nx_queues_export_begin(queues); }

bool nx_queues_export_step(nx_queues *queues, uint64_t bytes_target, nx_buffer *out) {
  return nx_queues_export_next(queues, bytes_target, out);
}

void nx_queues_export_stop(nx_queues *queues) { nx_queues_export_end(queues); }
void nx_queues_housekeeping(nx_queues *queues) { nx_queues_tick(queues); }

void nx_queues_figures(const nx_queues *queues, uint64_t *out) {
  memset(out, 0, 3 * sizeof *out);
  for (const nx_queue *queue = queues->first; queue != NULL; queue = queue->next) {
    out[0] += !nx_queue_is_empty(queue) || queue->is_kept;
    if (queue->kind == NX_QUEUE_STREAM) out[2] += queue->stream->length;
    else out[1] += queue->ring.count;
  }
  out[3] = queues->used;
  out[4] = nx_queues_memory(queues);
  const nx_queue_counts *counts = &queues->counts;
  out[5] = counts->pushed;
  out[6] = counts->popped;
  out[7] = counts->refused;
  out[8] = counts->dropped;
  out[9] = counts->pushed_bytes;
  out[10] = counts->popped_bytes;
}

void nx_queues_forget_counts(nx_queues *queues) { queues->counts = (nx_queue_counts){0}; }

/* For each channel: u32 name length, name, u8 kind, u64 records, used, capacity, records and used at their peak,
 * records and used in the overflow, capacity of the ring alone. */
void nx_queues_describe(nx_queues *queues, nx_buffer *out, bool forgets_peaks) {
  for (nx_queue *queue = queues->first; queue != NULL; queue = queue->next) {
    uint64_t records = queue->kind == NX_QUEUE_STREAM ? queue->stream->length : queue->ring.count;
    uint8_t kind = (uint8_t)queue->kind;
    const nx_ring *ring = &queue->ring;
    uint64_t area_bytes = ring->overflow == NULL ? 0 : ring->overflow->area_bytes;
    uint64_t figures[8] = {records,         ring->used,      ring->near.capacity + area_bytes, queue->records_max,
                           queue->used_max, ring->far.count, ring->far.used,                   ring->near.capacity};
    nx_buffer_append(out, &queue->name_length, sizeof queue->name_length);
    nx_buffer_append(out, queue->name, queue->name_length);
    nx_buffer_append(out, &kind, 1);
    nx_buffer_append(out, figures, sizeof figures);
    if (!forgets_peaks) continue;
    queue->records_max = records;
    queue->used_max = queue->ring.used;
  }
}

int32_t nx_queues_push(nx_queues *queues, const uint8_t *name, uint64_t name_length, const uint8_t *value,
                       uint64_t value_length) {
  nx_queue *queue = nx_queue_open(queues, (nx_slice){name, name_length}, NX_QUEUE_LIST);
  if (queue == NULL || queue->kind != NX_QUEUE_LIST) return -22;
  nx_queue_keep(queue);
  return nx_queue_push(queue, (nx_slice){value, value_length}, NX_BACK);
}

/* 0: a record is in `out`; 1: there is none; 2: the channel has subscribers, or is no list. */
uint32_t nx_queues_pop(nx_queues *queues, const uint8_t *name, uint64_t name_length, nx_buffer *out) {
  nx_queue *queue = nx_queue_find(queues, (nx_slice){name, name_length});
  if (queue == NULL) return 1;
  if (queue->kind != NX_QUEUE_LIST || queue->storage_count > 0) return 2;
  if (queue->ring.count == 0) return 1;
  nx_slice record = nx_ring_at(&queue->ring, 0);
  nx_buffer_append(out, record.data, record.length);
  nx_queue_drop(queue, NX_FRONT, 1);
  return 0;
}

/* 0, or 1 when the channel is no list or the names are too long. Pop then takes from `<subscriber>\0<channel>`. */
uint32_t nx_queues_subscribe(nx_queues *queues, const uint8_t *name, uint64_t name_length,
                             const uint8_t *subscriber, uint64_t subscriber_length) {
  nx_queue *queue = nx_queue_open(queues, (nx_slice){name, name_length}, NX_QUEUE_LIST);
  if (queue == NULL || queue->kind != NX_QUEUE_LIST) return 1;
  nx_queue_keep(queue);
  return nx_queue_subscribe(queue, (nx_slice){subscriber, subscriber_length}) == NULL;
}

bool nx_queues_remove(nx_queues *queues, const uint8_t *name, uint64_t name_length) {
  nx_queue *queue = nx_queue_find(queues, (nx_slice){name, name_length});
  if (queue == NULL) return false;
  nx_queue_remove(queue);
  return true;
}

bool nx_queues_save(nx_queues *queues, const uint8_t *name, uint64_t name_length, nx_buffer *out) {
  const nx_queue *queue = nx_queue_find(queues, (nx_slice){name, name_length});
  if (queue == NULL || queue->kind != NX_QUEUE_LIST) return false;
  nx_rq_write(queue, out);
  return true;
}

int32_t nx_queues_load(nx_queues *queues, const uint8_t *name, uint64_t name_length, const uint8_t *bytes,
                       uint64_t length) {
  const uint8_t *zero = memchr(name, 0, name_length);
  nx_slice whole = {name, name_length}, channel = whole;
  if (zero != NULL) channel = (nx_slice){zero + 1, name_length - (uint64_t)(zero + 1 - name)};
  if (name_length > NX_QUEUE_NAME_BYTES_MAX) return -22;
  /* It was acknowledged once: no limit on channels refuses it. */
  nx_queue *queue = nx_queue_find(queues, channel);
  if (queue == NULL) queue = nx_queue_create(queues, channel, NX_QUEUE_LIST, true);
  if (queue->kind != NX_QUEUE_LIST) return -22;
  nx_queue_keep(queue);
  if (zero != NULL) queue = nx_queue_add_storage(queues, whole);
  return nx_rq_read(queue, bytes, length);
}
