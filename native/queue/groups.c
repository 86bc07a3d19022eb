/* Groups, consumers and what is pending for them; see stream.h. */
#include <errno.h>
#include <stdlib.h>

#include "effects.h"
#include "stream.h"

static void *allocate(uint64_t bytes) {
  void *memory = calloc(1, bytes);
  NX_ASSERT(memory != NULL);
  return memory;
}

static uint8_t *copy_of(nx_slice bytes) {
  uint8_t *copy = allocate(bytes.length + 1);
  nx_copy(copy, bytes.data, bytes.length);
  return copy;
}

/* As the bytes order them; a prefix comes first. */
static int compare(nx_slice left, nx_slice right) {
  uint64_t shorter = left.length < right.length ? left.length : right.length;
  int order = shorter == 0 ? 0 : memcmp(left.data, right.data, shorter);
  if (order != 0) return order;
  return left.length < right.length ? -1 : left.length > right.length;
}

static nx_slice group_name(const nx_group *group) { return (nx_slice){group->name, group->name_length}; }
static nx_slice consumer_name(const nx_consumer *consumer) {
  return (nx_slice){consumer->name, consumer->name_length};
}

/* --- finding -------------------------------------------------------------------------------------------- */

/* Where the group is, or belongs. */
static uint32_t group_place(const nx_stream *stream, nx_slice name) {
  uint32_t low = 0, high = stream->group_count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (compare(group_name(stream->groups[middle]), name) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

nx_group *nx_group_find(const nx_stream *stream, nx_slice name) {
  uint32_t place = group_place(stream, name);
  if (place == stream->group_count || compare(group_name(stream->groups[place]), name) != 0) return NULL;
  return stream->groups[place];
}

static uint32_t consumer_place(const nx_group *group, nx_slice name) {
  uint32_t low = 0, high = group->consumer_count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (compare(consumer_name(group->consumers[middle]), name) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

nx_consumer *nx_consumer_find(const nx_group *group, nx_slice name) {
  uint32_t place = consumer_place(group, name);
  if (place == group->consumer_count || compare(consumer_name(group->consumers[place]), name) != 0)
    return NULL;
  return group->consumers[place];
}

/* --- making and removing, without effects --------------------------------------------------------------- */

static nx_group *group_make(nx_stream *stream, nx_slice name) {
  uint32_t place = group_place(stream, name);
  stream->groups = realloc(stream->groups, (stream->group_count + 1) * sizeof *stream->groups);
  NX_ASSERT(stream->groups != NULL);
  memmove(stream->groups + place + 1, stream->groups + place,
          (stream->group_count - place) * sizeof *stream->groups);
  nx_group *group = allocate(sizeof *group);
  group->name = copy_of(name);
  group->name_length = (uint32_t)name.length;
  stream->groups[place] = group;
  stream->group_count += 1;
  return group;
}

static void consumer_free(nx_consumer *consumer) {
  free(consumer->name);
  free(consumer);
}

static void group_free(nx_group *group) {
  while (group->pending.root != NULL) {
    nx_pending *pending = group->pending.root;
    nx_pending_remove(&group->pending, NX_OF_GROUP, pending);
    free(pending);
  }
  for (uint32_t index = 0; index < group->consumer_count; index++) consumer_free(group->consumers[index]);
  free(group->consumers);
  free(group->name);
  free(group);
}

static void group_take_out(nx_stream *stream, nx_group *group) {
  uint32_t place = group_place(stream, group_name(group));
  stream->group_count -= 1;
  memmove(stream->groups + place, stream->groups + place + 1,
          (stream->group_count - place) * sizeof *stream->groups);
  group_free(group);
}

static nx_consumer *consumer_make(nx_group *group, nx_slice name) {
  uint32_t place = consumer_place(group, name);
  group->consumers = realloc(group->consumers, (group->consumer_count + 1) * sizeof *group->consumers);
  NX_ASSERT(group->consumers != NULL);
  memmove(group->consumers + place + 1, group->consumers + place,
          (group->consumer_count - place) * sizeof *group->consumers);
  nx_consumer *consumer = allocate(sizeof *consumer);
  consumer->name = copy_of(name);
  consumer->name_length = (uint32_t)name.length;
  group->consumers[place] = consumer;
  group->consumer_count += 1;
  return consumer;
}

static void settle(nx_group *group, nx_pending *pending) {
  nx_pending_remove(&group->pending, NX_OF_GROUP, pending);
  nx_pending_remove(&pending->consumer->pending, NX_OF_CONSUMER, pending);
  free(pending);
}

static void consumer_take_out(nx_group *group, nx_consumer *consumer) {
  while (consumer->pending.root != NULL) settle(group, consumer->pending.root);
  uint32_t place = consumer_place(group, consumer_name(consumer));
  group->consumer_count -= 1;
  memmove(group->consumers + place, group->consumers + place + 1,
          (group->consumer_count - place) * sizeof *group->consumers);
  consumer_free(consumer);
}

static nx_pending *deliver(nx_stream *stream, nx_group *group, nx_consumer *consumer, nx_stream_id id,
                           int64_t delivered_ms, uint64_t deliveries) {
  nx_pending *pending = nx_pending_find(&group->pending, NX_OF_GROUP, id);
  if (pending == NULL) {
    pending = allocate(sizeof *pending);
    pending->id = id;
    stream->seed = stream->seed * 6364136223846793005u + 1442695040888963407u;
    pending->priority = stream->seed >> 16;
    nx_pending_insert(&group->pending, NX_OF_GROUP, pending);
  } else if (pending->consumer != consumer) {
    nx_pending_remove(&pending->consumer->pending, NX_OF_CONSUMER, pending);
    pending->consumer = NULL;
  }
  if (pending->consumer == NULL) {
    pending->consumer = consumer;
    nx_pending_insert(&consumer->pending, NX_OF_CONSUMER, pending);
  }
  pending->delivered_ms = delivered_ms;
  pending->deliveries = deliveries;
  return pending;
}

void nx_stream_drop(nx_stream *stream) {
  for (uint32_t index = 0; index < stream->group_count; index++) group_free(stream->groups[index]);
  free(stream->groups);
  free(stream);
}

bool nx_group_is_full(const nx_queue *queue, const nx_group *group) {
  uint64_t pending_max = queue->owner->settings[NX_QUEUES_PENDING_MAX];
  return pending_max != 0 && group->pending.count >= pending_max;
}

uint64_t nx_stream_bytes(const nx_stream *stream) {
  uint64_t bytes = sizeof *stream;
  for (uint32_t index = 0; index < stream->group_count; index++) {
    const nx_group *group = stream->groups[index];
    bytes += sizeof *group + group->name_length + group->pending.count * sizeof(nx_pending);
    for (uint32_t place = 0; place < group->consumer_count; place++)
      bytes += sizeof(nx_consumer) + sizeof(void *) + group->consumers[place]->name_length;
  }
  return bytes;
}

/* --- effects -------------------------------------------------------------------------------------------- */

static void store_name(uint8_t **at, nx_slice name) {
  uint16_t length = (uint16_t)name.length;
  memcpy(*at, &length, 2);
  nx_copy(*at + 2, name.data, name.length);
  *at += 2 + name.length;
}

static void store_u64(uint8_t **at, uint64_t value) {
  nx_store64(*at, value);
  *at += 8;
}

static void store_group(uint8_t *at, const nx_group *group) {
  store_name(&at, group_name(group));
  store_u64(&at, group->last.ms);
  store_u64(&at, group->last.sequence);
  store_u64(&at, (uint64_t)group->entries_read);
}

static void store_consumer(uint8_t *at, const nx_group *group, const nx_consumer *consumer) {
  store_name(&at, group_name(group));
  store_name(&at, consumer_name(consumer));
  store_u64(&at, (uint64_t)consumer->seen_ms);
}

static void store_pending(uint8_t *at, const nx_group *group, const nx_pending *pending) {
  store_name(&at, group_name(group));
  store_name(&at, consumer_name(pending->consumer));
  store_u64(&at, pending->id.ms);
  store_u64(&at, pending->id.sequence);
  store_u64(&at, (uint64_t)pending->delivered_ms);
  store_u64(&at, pending->deliveries);
}

static uint64_t group_bytes(const nx_group *group) { return 2u + group->name_length; }
static uint64_t consumer_bytes(const nx_consumer *consumer) { return 2u + consumer->name_length; }

void nx_group_record(nx_queue *queue, const nx_group *group) {
  uint8_t *at = nx_queue_record(queue, NX_Q_GROUP, group_bytes(group) + 24);
  if (at != NULL) store_group(at, group);
}

nx_group *nx_group_set(nx_queue *queue, nx_slice name, nx_stream_id last, int64_t entries_read) {
  nx_group *group = nx_group_find(queue->stream, name);
  if (group == NULL) group = group_make(queue->stream, name);
  group->last = last;
  group->entries_read = entries_read;
  nx_group_record(queue, group);
  return group;
}

void nx_group_remove(nx_queue *queue, nx_group *group) {
  uint8_t *at = nx_queue_record(queue, NX_Q_GROUP_GONE, group_bytes(group));
  if (at != NULL) store_name(&at, group_name(group));
  group_take_out(queue->stream, group);
}

nx_consumer *nx_consumer_see(nx_queue *queue, nx_group *group, nx_slice name, int64_t now_ms) {
  nx_consumer *consumer = nx_consumer_find(group, name);
  if (consumer == NULL) {
    consumer = consumer_make(group, name);
    consumer->seen_ms = now_ms;
    /* That it exists is a change; when it was seen last is not worth one. */
    uint8_t *at = nx_queue_record(queue, NX_Q_CONSUMER, group_bytes(group) + consumer_bytes(consumer) + 8);
    if (at != NULL) store_consumer(at, group, consumer);
  }
  consumer->seen_ms = now_ms;
  return consumer;
}

void nx_consumer_remove(nx_queue *queue, nx_group *group, nx_consumer *consumer) {
  uint64_t length = group_bytes(group) + consumer_bytes(consumer);
  uint8_t *at = nx_queue_record(queue, NX_Q_CONSUMER_GONE, length);
  if (at != NULL) {
    store_name(&at, group_name(group));
    store_name(&at, consumer_name(consumer));
  }
  consumer_take_out(group, consumer);
}

nx_pending *nx_group_deliver(nx_queue *queue, nx_group *group, nx_consumer *consumer, nx_stream_id id,
                             int64_t delivered_ms, uint64_t deliveries) {
  nx_pending *pending = deliver(queue->stream, group, consumer, id, delivered_ms, deliveries);
  uint8_t *at = nx_queue_record(queue, NX_Q_DELIVER, group_bytes(group) + consumer_bytes(consumer) + 32);
  if (at != NULL) store_pending(at, group, pending);
  return pending;
}

bool nx_group_settle(nx_queue *queue, nx_group *group, nx_stream_id id) {
  nx_pending *pending = nx_pending_find(&group->pending, NX_OF_GROUP, id);
  if (pending == NULL) return false;
  uint8_t *at = nx_queue_record(queue, NX_Q_SETTLE, group_bytes(group) + 16);
  if (at != NULL) {
    store_name(&at, group_name(group));
    store_u64(&at, id.ms);
    store_u64(&at, id.sequence);
  }
  settle(group, pending);
  return true;
}

/* --- how far a group has read --------------------------------------------------------------------------- */

/* Whether an entry behind `id` may have been deleted: then counts say nothing about ids. */
static bool has_holes(const nx_queue *queue, nx_stream_id id) {
  const nx_stream *stream = queue->stream;
  if (stream->length == 0 || (stream->deleted_max.ms == 0 && stream->deleted_max.sequence == 0)) return false;
  if (nx_id_compare(nx_stream_first_id(queue), stream->deleted_max) > 0) return false;
  return nx_id_compare(id, stream->deleted_max) <= 0;
}

/* How many entries were ever added up to `id`, where that can be told. */
static int64_t count_up_to(const nx_queue *queue, nx_stream_id id) {
  const nx_stream *stream = queue->stream;
  if (stream->added == 0) return 0;
  int to_last = nx_id_compare(id, stream->last);
  if (stream->length == 0 && to_last < 1) return (int64_t)stream->added;
  if (to_last == 0) return (int64_t)stream->added;
  if (to_last > 0) return NX_READ_UNKNOWN;
  nx_stream_id first = nx_stream_first_id(queue);
  bool has_no_deletion = stream->deleted_max.ms == 0 && stream->deleted_max.sequence == 0;
  if (!has_no_deletion && nx_id_compare(stream->deleted_max, first) >= 0) return NX_READ_UNKNOWN;
  int to_first = nx_id_compare(id, first);
  if (to_first < 0) return (int64_t)(stream->added - stream->length);
  if (to_first == 0) return (int64_t)(stream->added - stream->length + 1);
  return NX_READ_UNKNOWN;
}

void nx_group_advance(nx_queue *queue, nx_group *group, nx_stream_id id) {
  if (nx_id_compare(id, group->last) <= 0) return;
  if (group->entries_read != NX_READ_UNKNOWN && !has_holes(queue, id)) group->entries_read += 1;
  else if (queue->stream->added != 0) group->entries_read = count_up_to(queue, id);
  group->last = id;
}

bool nx_group_lag(const nx_queue *queue, const nx_group *group, int64_t *lag) {
  const nx_stream *stream = queue->stream;
  *lag = 0;
  if (stream->added == 0) return true;
  int64_t read = group->entries_read;
  if (read == NX_READ_UNKNOWN || has_holes(queue, group->last)) read = count_up_to(queue, group->last);
  *lag = (int64_t)stream->added - read;
  return read != NX_READ_UNKNOWN;
}

/* --- replay and export ---------------------------------------------------------------------------------- */

static bool read_name(nx_slice *value, nx_slice *name) {
  if (value->length < 2) return false;
  uint16_t length;
  memcpy(&length, value->data, 2);
  if (value->length - 2 < length) return false;
  *name = (nx_slice){value->data + 2, length};
  *value = (nx_slice){value->data + 2 + length, value->length - 2 - length};
  return true;
}

static nx_stream_id load_id(const uint8_t *from) { return (nx_stream_id){nx_load64(from), nx_load64(from + 8)}; }

static bool replay_group(nx_stream *stream, nx_slice name, nx_slice value) {
  if (value.length != 24) return false;
  nx_group *group = nx_group_find(stream, name);
  if (group == NULL) group = group_make(stream, name);
  group->last = load_id(value.data);
  group->entries_read = (int64_t)nx_load64(value.data + 16);
  return true;
}

static bool replay_consumer(nx_stream *stream, nx_group *group, uint32_t operation, nx_slice value) {
  nx_slice name;
  if (!read_name(&value, &name)) return false;
  nx_consumer *consumer = nx_consumer_find(group, name);
  if (operation == NX_Q_CONSUMER_GONE) {
    if (consumer != NULL) consumer_take_out(group, consumer);
    return value.length == 0;
  }
  if (consumer == NULL) consumer = consumer_make(group, name);
  if (operation == NX_Q_CONSUMER) {
    if (value.length != 8) return false;
    consumer->seen_ms = (int64_t)nx_load64(value.data);
    return true;
  }
  if (value.length != 32) return false;
  deliver(stream, group, consumer, load_id(value.data), (int64_t)nx_load64(value.data + 16),
          nx_load64(value.data + 24));
  return true;
}

bool nx_groups_replay(nx_queue *queue, uint32_t operation, nx_slice value) {
  nx_slice name;
  if (!read_name(&value, &name)) return false;
  if (operation == NX_Q_GROUP) return replay_group(queue->stream, name, value);
  nx_group *group = nx_group_find(queue->stream, name);
  if (group == NULL) return false;
  switch (operation) {
    case NX_Q_GROUP_GONE:
      group_take_out(queue->stream, group);
      return value.length == 0;
    case NX_Q_CONSUMER:
    case NX_Q_CONSUMER_GONE:
    case NX_Q_DELIVER: return replay_consumer(queue->stream, group, operation, value);
    case NX_Q_SETTLE: {
      if (value.length != 16) return false;
      nx_pending *pending = nx_pending_find(&group->pending, NX_OF_GROUP, load_id(value.data));
      if (pending != NULL) settle(group, pending);
      return true;
    }
    default: return false;
  }
}

static void export_group(nx_slice name, const nx_group *group, nx_buffer *out) {
  store_group(nx_effect_begin(out, NX_Q_GROUP, 0, 0, name, group_bytes(group) + 24), group);
  for (uint32_t index = 0; index < group->consumer_count; index++) {
    const nx_consumer *consumer = group->consumers[index];
    uint64_t length = group_bytes(group) + consumer_bytes(consumer) + 8;
    store_consumer(nx_effect_begin(out, NX_Q_CONSUMER, 0, 0, name, length), group, consumer);
  }
  nx_stream_id id = {0, 0};
  for (;;) {
    const nx_pending *pending = nx_pending_lower(&group->pending, NX_OF_GROUP, id);
    if (pending == NULL) return;
    uint64_t length = group_bytes(group) + consumer_bytes(pending->consumer) + 32;
    store_pending(nx_effect_begin(out, NX_Q_DELIVER, 0, 0, name, length), group, pending);
    id = pending->id;
    if (!nx_id_next(&id)) return;
  }
}

void nx_groups_export(const nx_queue *queue, nx_buffer *out) {
  for (uint32_t index = 0; index < queue->stream->group_count; index++)
    export_group(nx_queue_name(queue), queue->stream->groups[index], out);
}
