/*
 * The queue node's requests of the neo protocol.
 *
 *   code version                                             node, after "supported"
 *    1      3    Push     u8 count, channels, array record    01 pushed, 02 error
 *    2      1    Pop      channel                             01 array record, 02 empty, 03 error, 04 it has subscribers
 *    6      4    Consume  channel, array subscriber           01 started or 02 error; then 03 array of records (each u64
 *                                                             length, bytes), 04 stopped, 05 the channel was removed
 *   While consuming the client sends 01 for each batch, to get the next one, or 02 to stop.
 *
 * A consumer is a subscriber: it has a storage of its own, or shares one with those of the same name. Records are
 * taken from it only when the client asked for more, in equal parts among those that did. Bad names, no name at all and
 * empty records, which the original takes, are errors.
 */
#include <stdlib.h>

#include "neo/neo.h"
#include "neo/service.h"
#include "queue/queue.h"

enum { PUSH = 1, POP = 2, CONSUME = 6 };
enum { CONTINUE = 1, STOP = 2 };
enum { STARTED = 1, NOT_STARTED = 2, RECORDS = 3, STOPPED = 4, CHANNEL_REMOVED = 5 };

/* Records of one batch, with their lengths. */
#define BATCH_BYTES 100000u

typedef struct {
  nx_queues *queues;
  uint32_t place; /* of this engine among the queues' observers */
  bool is_refusing;
} neo_queues;

typedef struct consumption {
  nx_neo_request request;
  struct consumption *next, *previous; /* of the same storage */
  nx_queue *storage;                   /* NULL: it was removed */
  bool is_answered;                    /* the client has the last batch and wants the next */
} consumption;

static neo_queues *context_of(nx_neo *engine) { return nx_neo_context(engine); }

/* --- pushing and popping --------------------------------------------------------------------------------- */

static nx_queue *open_list(const neo_queues *of, nx_slice name) {
  nx_queue *queue = nx_queue_open(of->queues, name, NX_QUEUE_LIST);
  if (queue == NULL || queue->kind != NX_QUEUE_LIST) return NULL;
  nx_queue_keep(queue);
  return queue;
}

static bool push_to_all(nx_neo *engine, nx_slice names, uint8_t count, nx_slice record) {
  const neo_queues *of = context_of(engine);
  nx_slice rest = names, name;
  for (uint8_t index = 0; index < count; index++)
    if (!nx_neo_take_array(&rest, &name) || !nx_channel_name_valid(name)) return false;
  if (count == 0 || record.length == 0 || of->is_refusing || !nx_queues_have_room(of->queues, count * record.length)) return false;
  bool is_stored = true;
  for (uint8_t index = 0; index < count; index++) {
    bool is_read = nx_neo_take_array(&names, &name);
    NX_ASSERT(is_read);
    nx_queue *queue = open_list(of, name);
    is_stored = queue != NULL && nx_queue_push(queue, record, NX_BACK) == 0 && is_stored;
  }
  if (is_stored) nx_figures_action(nx_neo_figures(engine), NX_ACTION_WRITTEN, record.length);
  return is_stored;
}

static nx_neo_outcome push(nx_neo *engine, uint64_t id, nx_slice payload) {
  uint8_t count;
  nx_slice name, record;
  if (!nx_neo_take_u8(&payload, &count)) return NX_NEO_BROKEN;
  nx_slice names = payload;
  for (uint8_t index = 0; index < count; index++)
    if (!nx_neo_take_array(&payload, &name)) return NX_NEO_BROKEN;
  if (!nx_neo_take_array(&payload, &record)) return NX_NEO_BROKEN;
  if (push_to_all(engine, names, count, record)) nx_neo_byte(engine, id, 1);
  else nx_neo_error(engine, id, 2);
  return NX_NEO_DONE;
}

static nx_neo_outcome pop(nx_neo *engine, uint64_t id, nx_slice payload) {
  enum { RECORD = 1, EMPTY = 2, ERROR = 3, SUBSCRIBERS = 4 };
  const neo_queues *of = context_of(engine);
  nx_slice name;
  if (!nx_neo_take_array(&payload, &name)) return NX_NEO_BROKEN;
  nx_queue *queue = nx_queue_find(of->queues, name);
  if (!nx_channel_name_valid(name) || (queue != NULL && queue->kind != NX_QUEUE_LIST)) nx_neo_error(engine, id, ERROR);
  else if (queue != NULL && nx_queue_has_subscribers(queue)) nx_neo_byte(engine, id, SUBSCRIBERS);
  else if (queue == NULL || nx_queue_length(queue) == 0) nx_neo_byte(engine, id, EMPTY);
  else if (of->is_refusing) nx_neo_error(engine, id, ERROR);
  else {
    uint64_t place = nx_neo_open(engine, id);
    uint8_t kind = RECORD;
    nx_slice record = nx_ring_at(&queue->ring, 0);
    nx_buffer_append(nx_neo_replies(engine), &kind, 1);
    nx_append_array(nx_neo_replies(engine), record);
    nx_neo_close(engine, place);
    nx_figures_action(nx_neo_figures(engine), NX_ACTION_READ, record.length);
    nx_queue_drop(queue, NX_FRONT, 1);
  }
  return NX_NEO_DONE;
}

/* --- consuming ------------------------------------------------------------------------------------------- */

static consumption **first_of(const neo_queues *of, nx_queue *storage) {
  return (consumption **)&storage->attachments[of->place];
}

static void observe(void *context, nx_queue *queue, nx_queue_change change) {
  nx_neo *engine = context;
  consumption **first = first_of(context_of(engine), queue);
  if (*first == NULL || change == NX_QUEUE_CHANGED) return;
  nx_neo_urge(engine);
  if (change != NX_QUEUE_GONE) return;
  for (consumption *at = *first; at != NULL; at = at->next) at->storage = NULL;
  *first = NULL;
}

static nx_neo_outcome consume(nx_neo *engine, nx_neo_connection *connection, uint64_t id, nx_slice payload) {
  const neo_queues *of = context_of(engine);
  nx_slice name, subscriber;
  if (!nx_neo_take_array(&payload, &name) || !nx_neo_take_array(&payload, &subscriber)) return NX_NEO_BROKEN;
  bool is_named = nx_channel_name_valid(name) && (subscriber.length == 0 || nx_channel_name_valid(subscriber));
  nx_queue *queue = is_named && !of->is_refusing ? open_list(of, name) : NULL;
  nx_queue *storage = queue == NULL ? NULL : nx_queue_subscribe(queue, subscriber);
  if (storage == NULL) {
    nx_neo_error(engine, id, NOT_STARTED);
    return NX_NEO_DONE;
  }
  consumption *kept = calloc(1, sizeof *kept);
  NX_ASSERT(kept != NULL);
  kept->storage = storage;
  kept->is_answered = true;
  consumption **place = first_of(of, storage);
  while (*place != NULL) {
    kept->previous = *place;
    place = &(*place)->next;
  }
  *place = kept;
  nx_neo_byte(engine, id, STARTED);
  return nx_neo_keep(engine, connection, &kept->request, id, CONSUME);
}

/* Records that this consumer may take now. */
static uint64_t share(const neo_queues *of, const consumption *kept) {
  uint64_t ready = 1;
  for (const consumption *at = *first_of(of, kept->storage); at != NULL; at = at->next)
    ready += at != kept && at->is_answered;
  return (nx_queue_length(kept->storage) + ready - 1) / ready;
}

static nx_neo_outcome pump(nx_neo *engine, nx_neo_request *request) {
  consumption *kept = (consumption *)request;
  const neo_queues *of = context_of(engine);
  if (kept->storage == NULL) {
    nx_neo_byte(engine, request->id, CHANNEL_REMOVED);
    return NX_NEO_DONE;
  }
  /* While the log takes nothing, what was taken could come back: it stays. */
  uint64_t left = kept->is_answered && !of->is_refusing ? share(of, kept) : 0;
  if (left == 0) return NX_NEO_KEPT;
  uint64_t place = nx_neo_open(engine, request->id);
  nx_buffer *replies = nx_neo_replies(engine);
  uint8_t kind = RECORDS;
  nx_buffer_append(replies, &kind, 1);
  uint64_t length_at = replies->length, taken = 0;
  nx_append_u64(replies, 0);
  for (; left > 0 && replies->length - length_at < BATCH_BYTES; left--, taken++) {
    nx_slice record = nx_ring_at(&kept->storage->ring, taken);
    nx_append_array(replies, record);
    nx_figures_action(nx_neo_figures(engine), NX_ACTION_FORWARDED, record.length);
  }
  nx_store64(replies->data + length_at, replies->length - length_at - 8);
  nx_neo_close(engine, place);
  nx_queue_drop(kept->storage, NX_FRONT, taken);
  kept->is_answered = false;
  return NX_NEO_KEPT;
}

static bool waits(const nx_neo_request *request, int64_t now_ms) {
  (void)now_ms;
  const consumption *kept = (const consumption *)request;
  return kept->storage == NULL || (kept->is_answered && nx_queue_length(kept->storage) > 0);
}

static nx_neo_outcome message(nx_neo *engine, nx_neo_request *request, nx_slice payload) {
  consumption *kept = (consumption *)request;
  uint8_t kind;
  if (!nx_neo_take_u8(&payload, &kind)) return NX_NEO_BROKEN;
  if (kind == STOP) {
    nx_neo_byte(engine, request->id, kept->storage == NULL ? CHANNEL_REMOVED : STOPPED);
    return NX_NEO_DONE;
  }
  if (kind != CONTINUE || kept->is_answered) return NX_NEO_BROKEN;
  kept->is_answered = true;
  return pump(engine, request);
}

static void drop(nx_neo *engine, nx_neo_request *request) {
  consumption *kept = (consumption *)request;
  if (kept->storage != NULL) {
    if (kept->next != NULL) kept->next->previous = kept->previous;
    if (kept->previous != NULL) kept->previous->next = kept->next;
    else *first_of(context_of(engine), kept->storage) = kept->next;
  }
  free(kept);
}

/* --- the service ----------------------------------------------------------------------------------------- */

static nx_neo_outcome begin(nx_neo *engine, nx_neo_connection *connection, uint64_t id, uint8_t code,
                            nx_slice payload) {
  switch (code) {
    case PUSH: return push(engine, id, payload);
    case POP: return pop(engine, id, payload);
    default: return consume(engine, connection, id, payload);
  }
}

static const nx_buffer *effects(nx_neo *engine) { return nx_queues_effects(context_of(engine)->queues); }

static void free_service(nx_neo *engine) {
  neo_queues *of = context_of(engine);
  nx_queues_unobserve(of->queues, observe, engine);
  free(of);
}

#define NO NX_NEO_NO_VERSION
static const nx_neo_service service = {
    .versions = {NO, 3, 1, NO, NO, NO, 4, NO, NO, NO, NO, NO, NO, NO, NO, NO},
    .begin = begin,
    .message = message,
    .pump = pump,
    .waits = waits,
    .drop = drop,
    .effects = effects,
    .free = free_service,
};

nx_neo *nx_neo_queue_new(nx_queues *queues, const uint64_t *settings) {
  neo_queues *of = calloc(1, sizeof *of);
  NX_ASSERT(of != NULL);
  of->queues = queues;
  nx_neo *engine = nx_neo_new_for(&service, of, NULL, settings);
  if (engine == NULL) {
    free(of);
    return NULL;
  }
  of->place = nx_queues_observe(queues, observe, engine);
  return engine;
}

void nx_neo_queue_refuse_writes(nx_neo *engine, uint32_t is_refusing) {
  context_of(engine)->is_refusing = is_refusing != 0;
}
