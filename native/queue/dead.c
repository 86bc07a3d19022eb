/* See dead.h. */
#include "dead.h"

#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

#define OWN_FIELDS 3u

void nx_queues_dead_letters(nx_queues *queues, uint64_t deliveries_max, nx_slice suffix) {
  NX_ASSERT(suffix.length <= sizeof queues->dead_suffix);
  queues->deliveries_max = deliveries_max;
  nx_copy(queues->dead_suffix, suffix.data, suffix.length);
  queues->dead_suffix_length = (uint32_t)suffix.length;
}

static bool ends_with_suffix(const nx_queue *queue) {
  const nx_queues *queues = queue->owner;
  uint32_t length = queues->dead_suffix_length;
  return queue->name_length >= length &&
         memcmp(queue->name + queue->name_length - length, queues->dead_suffix, length) == 0;
}

bool nx_is_dead(const nx_queue *queue, const nx_pending *pending) {
  const nx_queues *queues = queue->owner;
  /* The dead are not buried twice. */
  return queues->deliveries_max != 0 && pending->deliveries >= queues->deliveries_max &&
         !ends_with_suffix(queue);
}

/* The dead-letter channel of this one, or NULL when its name is taken by a list or too long. */
static nx_queue *grave_of(nx_queue *queue) {
  nx_queues *queues = queue->owner;
  uint8_t name[NX_QUEUE_NAME_BYTES_MAX];
  uint64_t length = (uint64_t)queue->name_length + queues->dead_suffix_length;
  if (length > sizeof name) return NULL;
  nx_copy(name, queue->name, queue->name_length);
  nx_copy(name + queue->name_length, queues->dead_suffix, queues->dead_suffix_length);
  nx_queue *grave = nx_queue_open(queues, (nx_slice){name, length}, NX_QUEUE_STREAM);
  return grave != NULL && grave->kind == NX_QUEUE_STREAM ? grave : NULL;
}

static nx_slice word(const char *text) { return (nx_slice){(const uint8_t *)text, strlen(text)}; }

/* The id of the original where it is still free, so that the order is kept; otherwise the next one. */
static nx_stream_id grave_id(const nx_stream *grave, nx_stream_id id) {
  if (nx_id_compare(id, grave->last) > 0) return id;
  id = grave->last;
  nx_id_next(&id);
  return id;
}

bool nx_bury(nx_queue *queue, nx_group *group, nx_stream_id id) {
  nx_queue *grave = grave_of(queue);
  const nx_pending *pending = nx_pending_find(&group->pending, NX_OF_GROUP, id);
  nx_entry entry;
  if (grave == NULL || pending == NULL || !nx_stream_find(queue, id, &entry)) return false;
  uint32_t count = entry.strings + 2 * OWN_FIELDS;
  nx_slice *strings = calloc(count, sizeof *strings);
  NX_ASSERT(strings != NULL);
  nx_slice rest = entry.bytes;
  for (uint32_t index = 0; index < entry.strings; index++) strings[index] = nx_entry_string(&rest);
  char id_text[64], deliveries[32];
  snprintf(id_text, sizeof id_text, "%llu-%llu", (unsigned long long)id.ms, (unsigned long long)id.sequence);
  snprintf(deliveries, sizeof deliveries, "%llu", (unsigned long long)pending->deliveries);
  nx_slice *own = strings + entry.strings;
  own[0] = word("dead-letter-group");
  own[1] = (nx_slice){group->name, group->name_length};
  own[2] = word("dead-letter-id");
  own[3] = word(id_text);
  own[4] = word("dead-letter-deliveries");
  own[5] = word(deliveries);
  bool is_buried = nx_stream_add(grave, grave_id(grave->stream, id), strings, count) == 0;
  free(strings);
  if (is_buried) nx_group_settle(queue, group, id);
  return is_buried;
}
