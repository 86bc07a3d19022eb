/*
 * What the files of the queue node's swarm protocol share.
 *
 *    1 Push            channel, record           2 Pop              channel
 *    3 GetChannels     nothing                   4 GetChannelSize   channel
 *    5 GetSize         nothing                   6 Consume          channel, then records until the channel goes
 *    7 GetSizeLimit    nothing                   8 GetNumConnections nothing
 *    9 PushMulti       channels, record         10 Produce          channel, then records until an empty one
 *   11 ProduceMulti    channels, then records   12 RemoveChannel    channel
 */
#ifndef NX_QUEUE_LEGACY_H
#define NX_QUEUE_LEGACY_H
#include "legacy/engine.h"
#include "queue/queue.h"

enum {
  NX_QUEUE_PUSH = 1,
  NX_QUEUE_POP = 2,
  NX_QUEUE_GET_CHANNELS = 3,
  NX_QUEUE_GET_CHANNEL_SIZE = 4,
  NX_QUEUE_GET_SIZE = 5,
  NX_QUEUE_CONSUME = 6,
  NX_QUEUE_GET_SIZE_LIMIT = 7,
  NX_QUEUE_GET_NUM_CONNECTIONS = 8,
  NX_QUEUE_PUSH_MULTI = 9,
  NX_QUEUE_PRODUCE = 10,
  NX_QUEUE_PRODUCE_MULTI = 11,
  NX_QUEUE_REMOVE_CHANNEL = 12,
};

/* The channel, made and kept; NULL when the name is taken by a stream. */
nx_queue *nx_legacy_open(nx_legacy *engine, nx_slice name);

/* consume.c */
void nx_consume_start(nx_legacy *engine, nx_legacy_connection *connection, nx_queue *queue);
void nx_consume_continue(nx_legacy *engine, nx_legacy_connection *connection);
uint32_t nx_consume_waiting(nx_legacy_connection *connection);
void nx_consume_drop(nx_legacy *engine, nx_legacy_connection *connection);
void nx_consume_observe(void *context, nx_queue *queue, nx_queue_change change);

/* produce.c: `names` is one channel, or a list as the wire has it. */
void nx_produce_start(nx_legacy_connection *connection, nx_slice names, bool is_list);
uint64_t nx_produce_take(nx_legacy *engine, nx_legacy_connection *connection, const uint8_t *bytes, uint64_t length);
void nx_produce_drop(nx_legacy_connection *connection);
/* The next name of a list; false at its end. */
static inline bool nx_next_name(nx_slice list, uint64_t *at, nx_slice *name) {
  name->length = nx_load64(list.data + *at);
  name->data = list.data + *at + 8;
  *at += 8 + name->length;
  return name->length != 0;
}

#endif
