/*
 * The commands of the queue node: one request in, one answer appended.
 *
 * The order of checks is part of the protocol: names of channels, empty record, room. Where the two generations of the
 * original differ, `is_later` says which one this node answers like.
 */
#include "legacy.h"

static const char *const seed_shapes[NX_LEGACY_CODES] = {
    [NX_QUEUE_PUSH] = "cd",
    [NX_QUEUE_POP] = "c",
    [NX_QUEUE_GET_CHANNELS] = "",
    [NX_QUEUE_GET_CHANNEL_SIZE] = "c",
    [NX_QUEUE_GET_SIZE] = "",
    [NX_QUEUE_CONSUME] = "c",
    [NX_QUEUE_GET_SIZE_LIMIT] = "",
    [NX_QUEUE_GET_NUM_CONNECTIONS] = "",
    [NX_QUEUE_PUSH_MULTI] = "ld",
    [NX_QUEUE_PRODUCE] = "c",
    [NX_QUEUE_PRODUCE_MULTI] = "l",
    [NX_QUEUE_REMOVE_CHANNEL] = "c",
};

static const char *const later_shapes[NX_LEGACY_CODES] = {
    [NX_QUEUE_PUSH] = "cd",
    [NX_QUEUE_POP] = "c",
    [NX_QUEUE_CONSUME] = "c",
    [NX_QUEUE_GET_NUM_CONNECTIONS] = "",
    [NX_QUEUE_PUSH_MULTI] = "ld",
    [NX_QUEUE_PRODUCE] = "c",
    [NX_QUEUE_PRODUCE_MULTI] = "l",
    [NX_QUEUE_REMOVE_CHANNEL] = "c",
};

nx_queue *nx_legacy_open(nx_legacy *engine, nx_slice name) {
  nx_queue *queue = nx_queue_open(engine->queues, name, NX_QUEUE_LIST);
  if (queue == NULL || queue->kind != NX_QUEUE_LIST) return NULL;
  nx_queue_keep(queue);
  return queue;
}

/* --- pushing -------------------------------------------------------------------------------------------- */

/* Why a channel could not be opened: it is a stream, or there is no place for one more. */
static uint32_t not_opened(nx_legacy *engine, nx_slice name) {
  return nx_queue_find(engine->queues, name) == NULL ? NX_STATUS_OUT_OF_MEMORY : NX_STATUS_ERROR;
}

static uint32_t push_to(nx_legacy *engine, nx_slice name, nx_slice record) {
  nx_queue *queue = nx_legacy_open(engine, name);
  if (queue == NULL) return not_opened(engine, name);
  if (nx_queue_push(queue, record, NX_BACK) != 0) return NX_STATUS_OUT_OF_MEMORY;
  nx_figures_action(&engine->figures, NX_ACTION_WRITTEN, record.length);
  return NX_STATUS_OK;
}

static void push(nx_legacy *engine, const nx_legacy_request *request) {
  if (!nx_check_name(engine, request->channel)) return;
  uint32_t status;
  if (request->value.length == 0) status = NX_STATUS_EMPTY_VALUE;
  else if (engine->is_refusing) status = NX_STATUS_OUT_OF_MEMORY;
  else status = push_to(engine, request->channel, request->value);
  nx_status(engine, status);
}

/* Replies 409 when a name of the list is no channel's; otherwise tells how many there are. */
static bool check_names(nx_legacy *engine, nx_slice list, uint64_t *count) {
  nx_slice name;
  *count = 0;
  for (uint64_t at = 0; nx_next_name(list, &at, &name); *count += 1)
    if (!nx_check_name(engine, name)) return false;
  return true;
}

/* Stored where there is room, even if not everywhere; but nothing when all together have none. */
static void push_multi(nx_legacy *engine, const nx_legacy_request *request) {
  uint64_t count;
  if (!check_names(engine, request->nodes, &count)) return;
  nx_slice record = request->value, name;
  uint32_t status = NX_STATUS_OK;
  if (record.length == 0) status = NX_STATUS_EMPTY_VALUE;
  else if (engine->is_refusing || !nx_queues_have_room(engine->queues, count * record.length))
    status = NX_STATUS_OUT_OF_MEMORY;
  bool is_refused = status != NX_STATUS_OK;
  for (uint64_t at = 0; !is_refused && nx_next_name(request->nodes, &at, &name);) {
    uint32_t stored = push_to(engine, name, record);
    if (stored != NX_STATUS_OK) status = stored;
  }
  nx_status(engine, status);
}

static void produce(nx_legacy *engine, nx_legacy_connection *connection, nx_slice names, bool is_list) {
  uint64_t count;
  if (is_list ? !check_names(engine, names, &count) : !nx_check_name(engine, names)) return;
  if (!is_list && !engine->is_refusing && nx_legacy_open(engine, names) == NULL) {
    nx_status(engine, not_opened(engine, names));
    return;
  }
  nx_status(engine, NX_STATUS_OK);
  nx_produce_start(connection, names, is_list);
}

/* --- taking --------------------------------------------------------------------------------------------- */

static void pop(nx_legacy *engine, const nx_legacy_request *request) {
  if (!nx_check_name(engine, request->channel)) return;
  nx_queue *queue = nx_queue_find(engine->queues, request->channel);
  bool is_missing = queue == NULL || (nx_queue_is_empty(queue) && !queue->is_kept);
  if (is_missing ? engine->is_later : queue->kind != NX_QUEUE_LIST || nx_queue_has_subscribers(queue)) {
    nx_status(engine, NX_STATUS_ERROR);
    return;
  }
  bool is_empty = is_missing || nx_queue_length(queue) == 0;
  if (!is_empty && engine->is_refusing) {
    /* What is taken now would come back after power loss. */
    nx_status(engine, NX_STATUS_OUT_OF_MEMORY);
    return;
  }
  nx_status(engine, NX_STATUS_OK);
  if (is_empty) {
    nx_append_u64(&engine->replies, 0);
    return;
  }
  nx_slice record = nx_ring_at(&queue->ring, 0);
  nx_append_array(&engine->replies, record);
  nx_figures_action(&engine->figures, NX_ACTION_READ, record.length);
  nx_queue_drop(queue, NX_FRONT, 1);
}

/* A consumer takes from the channel itself; in the later generation, and once there are subscribers, it is the
 * subscriber with the empty name, which all consumers share. */
static void consume(nx_legacy *engine, nx_legacy_connection *connection, const nx_legacy_request *request) {
  if (!nx_check_name(engine, request->channel)) return;
  nx_queue *queue = engine->is_refusing ? nx_queue_find(engine->queues, request->channel)
                                        : nx_legacy_open(engine, request->channel);
  bool subscribes = queue != NULL && (engine->is_later || nx_queue_has_subscribers(queue));
  if (subscribes) queue = nx_queue_subscribe(queue, (nx_slice){NULL, 0});
  if (queue == NULL || queue->kind != NX_QUEUE_LIST) {
    nx_status(engine, engine->is_refusing ? NX_STATUS_OUT_OF_MEMORY : NX_STATUS_ERROR);
    return;
  }
  nx_status(engine, NX_STATUS_OK);
  nx_consume_start(engine, connection, queue);
}

static void remove_channel(nx_legacy *engine, const nx_legacy_request *request) {
  if (!nx_check_name(engine, request->channel)) return;
  nx_queue *queue = nx_queue_find(engine->queues, request->channel);
  uint32_t status = engine->is_refusing ? NX_STATUS_OUT_OF_MEMORY : NX_STATUS_OK;
  if (queue != NULL && status == NX_STATUS_OK) nx_queue_remove(queue);
  nx_status(engine, status);
}

/* --- figures -------------------------------------------------------------------------------------------- */

static bool is_shown(const nx_queue *queue) {
  return queue->kind == NX_QUEUE_LIST && queue->base == NULL &&
         (queue->is_kept || !nx_queue_is_empty(queue)) && nx_channel_name_valid(nx_queue_name(queue));
}

static void get_channels(nx_legacy *engine) {
  nx_status(engine, NX_STATUS_OK);
  for (const nx_queue *queue = nx_queues_first(engine->queues); queue != NULL; queue = queue->next)
    if (is_shown(queue)) nx_append_array(&engine->replies, nx_queue_name(queue));
  nx_append_u64(&engine->replies, 0);
}

/* Records and used bytes, of its subscribers too. */
static void add_size(const nx_queue *queue, uint64_t size[2]) {
  size[0] += queue->ring.count;
  size[1] += queue->ring.used;
  for (uint32_t index = 0; index < queue->storage_count; index++) add_size(queue->storages[index], size);
}

static void append_size(nx_legacy *engine, const uint64_t size[2]) {
  nx_append_address(engine);
  nx_append_u64(&engine->replies, size[0]);
  nx_append_u64(&engine->replies, size[1]);
}

static void get_channel_size(nx_legacy *engine, const nx_legacy_request *request) {
  if (!nx_check_name(engine, request->channel)) return;
  uint64_t size[2] = {0, 0};
  const nx_queue *queue = nx_queue_find(engine->queues, request->channel);
  if (queue != NULL && is_shown(queue)) add_size(queue, size);
  append_size(engine, size);
}

static void get_size(nx_legacy *engine) {
  uint64_t size[2] = {0, 0};
  for (const nx_queue *queue = nx_queues_first(engine->queues); queue != NULL; queue = queue->next)
    if (is_shown(queue)) add_size(queue, size);
  append_size(engine, size);
}

static void get_num_connections(nx_legacy *engine) {
  if (engine->is_later) {
    nx_status(engine, NX_STATUS_NOT_SUPPORTED);
    return;
  }
  nx_append_address(engine);
  nx_append_u64(&engine->replies, engine->connections);
}

/* --- the backend ---------------------------------------------------------------------------------------- */

static void execute(nx_legacy *engine, nx_legacy_connection *connection, const nx_legacy_request *request) {
  switch (request->code) {
    case NX_QUEUE_PUSH: push(engine, request); return;
    case NX_QUEUE_POP: pop(engine, request); return;
    case NX_QUEUE_GET_CHANNELS: get_channels(engine); return;
    case NX_QUEUE_GET_CHANNEL_SIZE: get_channel_size(engine, request); return;
    case NX_QUEUE_GET_SIZE: get_size(engine); return;
    case NX_QUEUE_CONSUME: consume(engine, connection, request); return;
    case NX_QUEUE_GET_SIZE_LIMIT:
      nx_append_address(engine);
      nx_append_u64(&engine->replies, nx_queues_ring_bytes(engine->queues));
      return;
    case NX_QUEUE_GET_NUM_CONNECTIONS: get_num_connections(engine); return;
    case NX_QUEUE_PUSH_MULTI: push_multi(engine, request); return;
    case NX_QUEUE_PRODUCE: produce(engine, connection, request->channel, false); return;
    case NX_QUEUE_PRODUCE_MULTI: produce(engine, connection, request->nodes, true); return;
    case NX_QUEUE_REMOVE_CHANNEL: remove_channel(engine, request); return;
    default: NX_ASSERT(!"a command that the parser does not let pass");
  }
}

static const nx_buffer *effects(const nx_legacy *engine) { return nx_queues_effects(engine->queues); }

static void leave(nx_legacy *engine, nx_legacy_connection *connection) {
  nx_consume_drop(engine, connection);
  nx_produce_drop(connection);
}

static void detach(nx_legacy *engine) { nx_queues_unobserve(engine->queues, nx_consume_observe, engine); }

#define BACKEND(its_shapes) \
  { \
    .shapes = its_shapes, .effects = effects, .execute = execute, .produce = nx_produce_take, \
    .pump = nx_consume_continue, .waiting = nx_consume_waiting, .leave = leave, .detach = detach, \
  }

static const nx_legacy_backend seed_backend = BACKEND(seed_shapes);
static const nx_legacy_backend later_backend = BACKEND(later_shapes);

nx_legacy *nx_legacy_queue_new(nx_queues *queues, const uint64_t *settings, uint32_t is_later) {
  nx_legacy *engine = nx_legacy_make(is_later != 0 ? &later_backend : &seed_backend, settings);
  if (engine == NULL) return NULL;
  engine->queues = queues;
  engine->is_later = is_later != 0;
  engine->queues_place = nx_queues_observe(queues, nx_consume_observe, engine);
  return engine;
}
