/*
 * Consume: connections that get a channel's records as they come, each record one of them.
 *
 * Records stay in the channel until a consumer's turn: it takes its share of what waits, in equal parts with the others
 * that are ready, so nothing is taken for a client that does not read. Invariant: a record leaves the channel in
 * the same call that appends it to a consumer's answer, and its effect is recorded before the answer may leave.
 */
#include <stdlib.h>

#include "legacy.h"

/* So many records make a consumer's turn come before its flush period is over. */
#define URGENT_RECORDS 4096u

struct nx_consumption {
  nx_consumption *next, *previous; /* of the same channel */
  nx_legacy *engine;
  nx_queue *queue; /* NULL: it is gone, the stream ends */
  bool is_ready;   /* asked what waits, and has not had its turn since */
};

static nx_consumption **first_of(const nx_legacy *engine, nx_queue *queue) {
  return (nx_consumption **)&queue->attachments[engine->queues_place];
}

void nx_consume_start(nx_legacy *engine, nx_legacy_connection *connection, nx_queue *queue) {
  nx_consumption *consumption = calloc(1, sizeof *consumption);
  NX_ASSERT(consumption != NULL);
  consumption->engine = engine;
  consumption->queue = queue;
  /* The last to come is the last to have its turn. */
  nx_consumption **place = first_of(engine, queue);
  while (*place != NULL) {
    consumption->previous = *place;
    place = &(*place)->next;
  }
  *place = consumption;
  connection->consumption = consumption;
  engine->listeners += 1;
  nx_figures_active(&engine->figures, NX_QUEUE_CONSUME, 1);
}

static void unlink_from_queue(nx_consumption *consumption) {
  if (consumption->queue == NULL) return;
  if (consumption->next != NULL) consumption->next->previous = consumption->previous;
  if (consumption->previous != NULL) consumption->previous->next = consumption->next;
  else *first_of(consumption->engine, consumption->queue) = consumption->next;
  consumption->queue = NULL;
}

void nx_consume_drop(nx_legacy *engine, nx_legacy_connection *connection) {
  if (connection->consumption == NULL) return;
  unlink_from_queue(connection->consumption);
  free(connection->consumption);
  connection->consumption = NULL;
  engine->listeners -= 1;
  nx_figures_active(&engine->figures, NX_QUEUE_CONSUME, -1);
}

void nx_consume_observe(void *context, nx_queue *queue, nx_queue_change change) {
  nx_legacy *engine = context;
  nx_consumption *consumption = *first_of(engine, queue);
  if (consumption == NULL) return;
  if (change == NX_QUEUE_GONE) {
    *first_of(engine, queue) = NULL;
    for (; consumption != NULL; consumption = consumption->next) consumption->queue = NULL;
    engine->block[NX_LEGACY_URGENT] = 1;
  } else if (change == NX_QUEUE_GREW && nx_queue_length(queue) == URGENT_RECORDS) {
    engine->block[NX_LEGACY_URGENT] = 1;
  }
}

uint32_t nx_consume_waiting(nx_legacy_connection *connection) {
  nx_consumption *consumption = connection->consumption;
  if (consumption->queue == NULL) return UINT32_MAX;
  uint64_t count = nx_queue_length(consumption->queue);
  consumption->is_ready = count > 0;
  return count < UINT32_MAX ? (uint32_t)count : UINT32_MAX - 1;
}

/* Records that this consumer may take now. */
static uint64_t share(const nx_consumption *consumption) {
  uint64_t ready = 1;
  const nx_consumption *at = *first_of(consumption->engine, consumption->queue);
  for (; at != NULL; at = at->next) ready += at != consumption && at->is_ready;
  return (nx_queue_length(consumption->queue) + ready - 1) / ready;
}

void nx_consume_continue(nx_legacy *engine, nx_legacy_connection *connection) {
  nx_consumption *consumption = connection->consumption;
  if (consumption->queue == NULL) {
    nx_append_u64(&engine->replies, 0);
    nx_consume_drop(engine, connection);
    return;
  }
  nx_queue *queue = consumption->queue;
  uint64_t soft_max = engine->settings[NX_LEGACY_REPLY_SOFT_BYTES_MAX], taken = 0;
  /* While the log takes nothing, what was taken could come back: it stays. */
  for (uint64_t left = engine->is_refusing ? 0 : share(consumption); left > 0; left--) {
    if (engine->replies.length >= soft_max) break;
    nx_slice record = nx_ring_at(&queue->ring, taken);
    nx_append_array(&engine->replies, record);
    nx_figures_action(&engine->figures, NX_ACTION_FORWARDED, record.length);
    taken += 1;
  }
  nx_queue_drop(queue, NX_FRONT, taken);
  consumption->is_ready = false;
}
