/*
 * Effects applied: what a log or a snapshot holds becomes channels again.
 *
 * Invariant: an effect with a number counts exactly once, because its channel remembers the number of the last one.
 * Nothing is recorded meanwhile and nobody is told. Limits do not hold here: what was once acknowledged
 * comes back, whatever the configuration says now.
 */
#include <errno.h>

#include "effects.h"
#include "stream.h"

static bool has_zero(nx_slice name) { return name.length > 0 && memchr(name.data, 0, name.length) != NULL; }

/* The channel of a storage. */
static nx_slice base_name(nx_slice name) {
  const uint8_t *zero = memchr(name.data, 0, name.length);
  return (nx_slice){zero + 1, name.length - (uint64_t)(zero + 1 - name.data)};
}

/* Only a storage has a zero byte in its name, and one; it is a list, and so is its channel. */
static bool fits_its_name(nx_queues *queues, const nx_queue_effect *effect) {
  if (!has_zero(effect->name)) return effect->operation != NX_Q_SUBSCRIBE;
  if (effect->operation == NX_Q_CREATE || effect->kind == NX_QUEUE_STREAM) return false;
  nx_slice name = base_name(effect->name);
  if (has_zero(name)) return false;
  const nx_queue *base = nx_queue_find(queues, name);
  return base == NULL || base->kind == NX_QUEUE_LIST;
}

static nx_queue *make(nx_queues *queues, const nx_queue_effect *effect) {
  nx_queue *queue = nx_queue_find(queues, effect->name);
  bool is_storage = has_zero(effect->name) && effect->kind == NX_QUEUE_LIST;
  if (queue != NULL && queue->kind != (nx_queue_kind)effect->kind) {
    nx_queue_delete(queue);
    queue = NULL;
  }
  if (queue == NULL && is_storage) queue = nx_queue_add_storage(queues, effect->name);
  if (queue == NULL) queue = nx_queue_create(queues, effect->name, effect->kind, false);
  queue->is_kept = queue->is_kept || effect->value.data[0] != 0;
  return queue;
}

static bool push(nx_queue *queue, nx_slice value, nx_queue_end end) {
  if (queue->kind != NX_QUEUE_LIST) return false;
  /* Its storages came with a snapshot that was taken after this push, and have the record. */
  if (queue->storage_count > 0) return true;
  if (nx_queue_store(queue, value, end)) return true;
  return nx_queue_widen(queue, value.length) && nx_queue_store(queue, value, end);
}

/* An effect of a stream; false when the channel is none, or the value is malformed. */
static bool apply_to_stream(nx_queue *queue, const nx_queue_effect *effect) {
  if (queue->kind != NX_QUEUE_STREAM) return false;
  switch (effect->operation) {
    case NX_Q_ADD: return nx_stream_replay_add(queue, effect->value);
    case NX_Q_TRIM: nx_stream_replay_trim(queue, nx_load64(effect->value.data)); return true;
    case NX_Q_DELETE: nx_stream_replay_delete(queue, effect->value); return true;
    case NX_Q_STATE: nx_stream_replay_state(queue, effect->value); return true;
    default: return nx_groups_replay(queue, effect->operation, effect->value);
  }
}

static uint64_t at_most(nx_slice number, uint64_t most) {
  uint64_t value = nx_load64(number.data);
  return value < most ? value : most;
}

static bool apply(nx_queue *queue, const nx_queue_effect *effect) {
  switch (effect->operation) {
    case NX_Q_END: queue->version = nx_load64(effect->value.data); return true;
    case NX_Q_KEEP: queue->is_kept = true; return true;
    case NX_Q_PUSH_BACK: return push(queue, effect->value, NX_BACK);
    case NX_Q_PUSH_FRONT: return push(queue, effect->value, NX_FRONT);
    case NX_Q_DROP_FRONT:
    case NX_Q_DROP_BACK: {
      if (queue->kind != NX_QUEUE_LIST) return false;
      nx_queue_end end = effect->operation == NX_Q_DROP_FRONT ? NX_FRONT : NX_BACK;
      nx_queue_forget(queue, end, at_most(effect->value, queue->ring.count));
      return true;
    }
    default: return apply_to_stream(queue, effect);
  }
}

/* What may bring a channel into being, or says nothing about one. */
static bool apply_to_set(nx_queues *queues, nx_queue *queue, const nx_queue_effect *effect, bool *is_done) {
  *is_done = true;
  switch (effect->operation) {
    case NX_Q_COUNTER:
      if (nx_load64(effect->value.data) > queues->number) queues->number = nx_load64(effect->value.data);
      return true;
    case NX_Q_BEGIN:
      /* One of this name may be there: it went while the snapshot was taken, and another came. */
      if (queue != NULL && queue->kind == NX_QUEUE_STREAM) nx_queue_delete(queue);
      queue = make(queues, effect);
      /* So may its records, and a storage that is new inherits some: what it has of them follows. */
      if (queue->kind == NX_QUEUE_LIST) nx_queue_forget(queue, NX_BACK, queue->ring.count);
      queue->version = 0;
      return true;
    case NX_Q_CREATE: make(queues, effect)->version = effect->number; return true;
    case NX_Q_REMOVE:
      if (queue != NULL) nx_queue_delete(queue);
      return true;
    case NX_Q_SUBSCRIBE: {
      nx_queue *storage = nx_queue_add_storage(queues, effect->name);
      storage->version = storage->base->version = effect->number;
      return true;
    }
    default: *is_done = queue == NULL; return true;
  }
}

/* Whether this effect is in the channel already, or in the one that it makes a storage of. */
static bool is_known(nx_queues *queues, const nx_queue *queue, const nx_queue_effect *effect) {
  if (effect->number == 0) return false;
  if (queue != NULL) return effect->number <= queue->version;
  if (effect->operation != NX_Q_SUBSCRIBE) return false;
  const nx_queue *base = nx_queue_find(queues, base_name(effect->name));
  return base != NULL && effect->number <= base->version;
}

static bool replay_one(nx_queues *queues, const nx_queue_effect *effect) {
  if (!fits_its_name(queues, effect)) return false;
  if (effect->number > queues->number) queues->number = effect->number;
  nx_queue *queue = nx_queue_find(queues, effect->name);
  if (is_known(queues, queue, effect)) return true;
  bool is_done = false;
  if (!apply_to_set(queues, queue, effect, &is_done)) return false;
  if (is_done) return true;
  if (!apply(queue, effect)) return false;
  if (effect->number != 0) queue->version = effect->number;
  return true;
}

int64_t nx_queues_replay(nx_queues *queues, const uint8_t *bytes, uint64_t length, uint64_t *bad_offset) {
  NX_ASSERT(!queues->is_logging);
  int64_t count = 0;
  for (uint64_t at = 0; at < length; count++) {
    nx_queue_effect effect;
    int64_t taken = nx_queue_effect_read(bytes + at, length - at, &effect);
    if (taken < 0 || !replay_one(queues, &effect)) {
      *bad_offset = at;
      return -EBADMSG;
    }
    at += (uint64_t)taken;
  }
  return count;
}
