/*
 * The set of channels: a chained hash table by name, and a list in the order of creation.
 *
 * Invariant: a channel is in both or in neither. An empty channel that nobody keeps stays for a tick, so that a
 * queue which runs empty again and again costs no memory calls; protocols treat it as missing meanwhile.
 */
#include <errno.h>
#include <stdlib.h>

#include "effects.h"
#include "stream.h"

#define BUCKETS_MIN 64u

nx_queues *nx_queues_make(const double *settings, uint64_t seed_low, uint64_t seed_high) {
  nx_queues *queues = calloc(1, sizeof *queues);
  NX_ASSERT(queues != NULL);
  nx_queues_settle_settings(queues, settings);
  queues->seed = (nx_seed){seed_low, seed_high};
  queues->buckets = calloc(BUCKETS_MIN, sizeof *queues->buckets);
  NX_ASSERT(queues->buckets != NULL);
  queues->bucket_count = BUCKETS_MIN;
  return queues;
}

void nx_queues_settle_settings(nx_queues *queues, const double *settings) {
  for (uint32_t index = 0; index < NX_QUEUES_SETTINGS; index++) {
    NX_ASSERT(settings[index] >= 0 && settings[index] <= 9007199254740991.0);
    queues->settings[index] = (uint64_t)settings[index];
  }
}

void nx_queues_drop(nx_queues *queues) {
  nx_queues_export_end(queues);
  while (queues->first != NULL) nx_queue_delete(queues->first);
  for (uint32_t index = 0; index < queues->prefix_count; index++) free(queues->prefixes[index].bytes);
  free(queues->prefixes);
  free(queues->buckets);
  nx_buffer_free(&queues->effects);
  nx_overflow_free(&queues->overflow);
  free(queues);
}

void nx_queues_spill(nx_queues *queues, int32_t file, uint64_t area_bytes) {
  queues->overflow = (nx_overflow){.file = file, .area_bytes = (area_bytes + 4095) & ~UINT64_C(4095)};
}

void nx_queues_size_prefix(nx_queues *queues, nx_slice prefix, uint64_t bytes) {
  nx_size_prefix *prefixes =
      realloc(queues->prefixes, (queues->prefix_count + 1) * sizeof *queues->prefixes);
  NX_ASSERT(prefixes != NULL);
  queues->prefixes = prefixes;
  nx_size_prefix *added = &prefixes[queues->prefix_count++];
  *added = (nx_size_prefix){malloc(prefix.length + 1), prefix.length, bytes};
  NX_ASSERT(added->bytes != NULL);
  nx_copy(added->bytes, prefix.data, prefix.length);
}

static uint64_t ring_bytes(const nx_queues *queues, nx_slice name) {
  /* A storage is as large as its channel. */
  const uint8_t *zero = memchr(name.data, 0, name.length);
  if (zero != NULL) name = (nx_slice){zero + 1, name.length - (uint64_t)(zero + 1 - name.data)};
  for (uint32_t index = 0; index < queues->prefix_count; index++) {
    const nx_size_prefix *prefix = &queues->prefixes[index];
    if (name.length >= prefix->length && memcmp(name.data, prefix->bytes, prefix->length) == 0)
      return prefix->ring_bytes;
  }
  return queues->settings[NX_QUEUES_CHANNEL_BYTES];
}

uint32_t nx_queues_observe(nx_queues *queues, nx_queue_observer observer, void *context) {
  for (uint32_t place = 0; place < NX_QUEUE_OBSERVERS_MAX; place++) {
    if (queues->observers[place].call != NULL) continue;
    queues->observers[place] = (nx_observing){observer, context};
    return place;
  }
  NX_ASSERT(!"more observers than there are places");
}

void nx_queues_unobserve(nx_queues *queues, nx_queue_observer observer, void *context) {
  for (uint32_t place = 0; place < NX_QUEUE_OBSERVERS_MAX; place++) {
    nx_observing *known = &queues->observers[place];
    if (known->call == observer && known->context == context) *known = (nx_observing){NULL, NULL};
  }
}

void nx_queue_tell(nx_queue *queue, nx_queue_change change) {
  nx_queues *queues = queue->owner;
  for (uint32_t place = 0; place < NX_QUEUE_OBSERVERS_MAX; place++) {
    const nx_observing *observer = &queues->observers[place];
    if (observer->call != NULL) observer->call(observer->context, queue, change);
  }
}

void nx_queues_log(nx_queues *queues, bool is_on) { queues->is_logging = is_on; }
nx_buffer *nx_queues_effects(nx_queues *queues) { return &queues->effects; }
nx_queue *nx_queues_first(const nx_queues *queues) { return queues->first; }
uint32_t nx_queues_count(const nx_queues *queues) { return queues->count; }
uint64_t nx_queues_used(const nx_queues *queues) { return queues->used; }

uint64_t nx_queues_memory(const nx_queues *queues) {
  uint64_t bytes = queues->bucket_count * sizeof *queues->buckets + queues->effects.capacity;
  for (const nx_queue *queue = queues->first; queue != NULL; queue = queue->next) {
    bytes += sizeof *queue + queue->name_length + ((queue->ring.used_max + 4095) & ~UINT64_C(4095));
    bytes += queue->ring.place_count * sizeof *queue->ring.places;
    if (queue->stream != NULL) bytes += nx_stream_bytes(queue->stream);
  }
  return bytes;
}

/* --- names ---------------------------------------------------------------------------------------------- */

static bool is_called(const nx_queue *queue, nx_slice name) {
  return queue->name_length == name.length &&
         (name.length == 0 || memcmp(queue->name, name.data, name.length) == 0);
}

nx_queue *nx_queue_find(nx_queues *queues, nx_slice name) {
  if (queues->recent != NULL && is_called(queues->recent, name)) return queues->recent;
  uint64_t hash = nx_siphash(queues->seed, name.data, name.length);
  nx_queue *queue = queues->buckets[hash & (queues->bucket_count - 1)];
  while (queue != NULL && (queue->hash != hash || !is_called(queue, name))) queue = queue->next_in_bucket;
  if (queue != NULL) queues->recent = queue;
  return queue;
}

static void grow(nx_queues *queues) {
  uint64_t size = queues->bucket_count * 2;
  nx_queue **buckets = calloc(size, sizeof *buckets);
  NX_ASSERT(buckets != NULL);
  for (nx_queue *queue = queues->first; queue != NULL; queue = queue->next) {
    nx_queue **place = &buckets[queue->hash & (size - 1)];
    queue->next_in_bucket = *place;
    *place = queue;
  }
  free(queues->buckets);
  queues->buckets = buckets;
  queues->bucket_count = size;
}

nx_queue *nx_queue_create(nx_queues *queues, nx_slice name, nx_queue_kind kind, bool is_kept) {
  if (queues->count >= queues->bucket_count) grow(queues);
  nx_queue *queue = calloc(1, sizeof *queue);
  NX_ASSERT(queue != NULL);
  queue->owner = queues;
  queue->hash = nx_siphash(queues->seed, name.data, name.length);
  queue->id = ++queues->last_id;
  queue->kind = kind;
  queue->is_kept = is_kept;
  queue->name_length = (uint32_t)name.length;
  queue->name = malloc(name.length + 1);
  NX_ASSERT(queue->name != NULL);
  nx_copy(queue->name, name.data, name.length);
  queue->ring.near.capacity = ring_bytes(queues, name);
  if (kind == NX_QUEUE_LIST && queues->overflow.area_bytes > 0) queue->ring.overflow = &queues->overflow;
  if (kind == NX_QUEUE_STREAM) queue->stream = nx_stream_make();
  nx_queue **place = &queues->buckets[queue->hash & (queues->bucket_count - 1)];
  queue->next_in_bucket = *place;
  *place = queue;
  queue->previous = queues->last;
  if (queues->last != NULL) queues->last->next = queue;
  else queues->first = queue;
  queues->last = queue;
  queues->count += 1;
  return queue;
}

/* To everyone it is gone, it only waits for the tick. */
static bool is_leftover(const nx_queue *queue) {
  return nx_queue_is_empty(queue) && !queue->is_kept && queue->base == NULL;
}

bool nx_queues_have_place(nx_queues *queues) {
  uint64_t count_max = queues->settings[NX_QUEUES_CHANNELS_MAX];
  if (count_max == 0 || queues->count < count_max) return true;
  if (queues->has_no_leftovers) return false;
  queues->has_no_leftovers = true;
  nx_queue *next;
  for (nx_queue *queue = queues->first; queue != NULL; queue = next) {
    next = queue->next;
    if (is_leftover(queue)) nx_queue_remove(queue);
  }
  return queues->count < count_max;
}

nx_queue *nx_queue_open(nx_queues *queues, nx_slice name, nx_queue_kind kind) {
  nx_queue *queue = nx_queue_find(queues, name);
  if (queue != NULL && queue->kind != kind && is_leftover(queue)) {
    nx_queue_remove(queue);
    queue = NULL;
  }
  if (queue != NULL || name.length > NX_QUEUE_NAME_BYTES_MAX || !nx_queues_have_place(queues)) return queue;
  queue = nx_queue_create(queues, name, kind, false);
  uint8_t *value = nx_queue_record(queue, NX_Q_CREATE, 1);
  if (value != NULL) *value = 0;
  return queue;
}

void nx_queue_keep(nx_queue *queue) {
  if (queue->is_kept) return;
  queue->is_kept = true;
  nx_queue_record(queue, NX_Q_KEEP, 0);
}

static void leave_base(nx_queue *queue) {
  nx_queue *base = queue->base;
  if (base == NULL) return;
  uint32_t index = 0;
  while (base->storages[index] != queue) index++;
  base->storage_count -= 1;
  for (; index < base->storage_count; index++) base->storages[index] = base->storages[index + 1];
  queue->base = NULL;
}

void nx_queue_delete(nx_queue *queue) {
  nx_queues *queues = queue->owner;
  leave_base(queue);
  while (queue->storage_count > 0) nx_queue_delete(queue->storages[0]);
  nx_export_before_delete(queue);
  nx_queue_tell(queue, NX_QUEUE_GONE);
  if (queues->recent == queue) queues->recent = NULL;
  nx_queue **place = &queues->buckets[queue->hash & (queues->bucket_count - 1)];
  while (*place != queue) place = &(*place)->next_in_bucket;
  *place = queue->next_in_bucket;
  if (queue->previous != NULL) queue->previous->next = queue->next;
  else queues->first = queue->next;
  if (queue->next != NULL) queue->next->previous = queue->previous;
  else queues->last = queue->previous;
  queues->count -= 1;
  queues->used -= queue->ring.used;
  nx_ring_free(&queue->ring);
  if (queue->stream != NULL) nx_stream_drop(queue->stream);
  free(queue->storages);
  free(queue->name);
  free(queue);
}

void nx_queue_remove(nx_queue *queue) {
  while (queue->storage_count > 0) nx_queue_remove(queue->storages[queue->storage_count - 1]);
  nx_queue_record(queue, NX_Q_REMOVE, 0);
  nx_queue_delete(queue);
}

/* --- subscribers ---------------------------------------------------------------------------------------- */

nx_queue *nx_queue_add_storage(nx_queues *queues, nx_slice name) {
  nx_queue *known = nx_queue_find(queues, name);
  if (known != NULL) return known;
  const uint8_t *zero = memchr(name.data, 0, name.length);
  NX_ASSERT(zero != NULL);
  nx_slice channel = {zero + 1, name.length - (uint64_t)(zero + 1 - name.data)};
  nx_queue *base = nx_queue_find(queues, channel);
  if (base == NULL) base = nx_queue_create(queues, channel, NX_QUEUE_LIST, true);
  nx_queue *storage = nx_queue_create(queues, name, NX_QUEUE_LIST, true);
  if (base->storage_count == 0 && base->ring.count > 0) {
    nx_export_rest(base);
    nx_ring taken = storage->ring;
    storage->ring = base->ring;
    base->ring = taken;
    if (base->ring.number == 0) base->ring.number = storage->ring.number;
  }
  base->is_kept = true;
  base->storages = realloc(base->storages, (base->storage_count + 1) * sizeof *base->storages);
  NX_ASSERT(base->storages != NULL);
  base->storages[base->storage_count++] = storage;
  storage->base = base;
  return storage;
}

nx_queue *nx_queue_subscribe(nx_queue *queue, nx_slice subscriber) {
  uint8_t name[NX_QUEUE_NAME_BYTES_MAX];
  uint64_t length = subscriber.length + 1 + queue->name_length;
  if (length > sizeof name) return NULL;
  nx_copy(name, subscriber.data, subscriber.length);
  name[subscriber.length] = 0;
  nx_copy(name + subscriber.length + 1, queue->name, queue->name_length);
  nx_queue *known = nx_queue_find(queue->owner, (nx_slice){name, length});
  if (known != NULL || !nx_queues_have_place(queue->owner)) return known;
  nx_queue *storage = nx_queue_add_storage(queue->owner, (nx_slice){name, length});
  nx_queue_record(storage, NX_Q_SUBSCRIBE, 0);
  queue->version = storage->version;
  return storage;
}

void nx_queues_tick(nx_queues *queues) {
  nx_queue *next;
  queues->has_no_leftovers = false;
  for (nx_queue *queue = queues->first; queue != NULL; queue = next) {
    next = queue->next;
    if (!nx_queue_is_empty(queue)) {
      queue->is_overdue = false;
      nx_ring_rest(&queue->ring);
    } else if (!queue->is_overdue) {
      queue->is_overdue = true;
      nx_ring_rest(&queue->ring);
    } else if (is_leftover(queue)) {
      nx_queue_remove(queue);
    }
  }
}
