/*
 * The commands of the dht node: one request in, one answer appended.
 *
 * The order of checks is part of the protocol: name of the channel, owner of the key, empty value, memory.
 * A request that is answered with an error has been read in full, so the connection stays usable.
 */
#include "engine.h"

#define VERSION "20110401"
/* Requests looked at ahead: enough to hide the latency of memory. */
#define REQUESTS_AHEAD 16u
/* Code, a channel's name of one byte, a key. */
#define REQUEST_BYTES_MIN 37u

static const char *const shapes[NX_LEGACY_CODES] = {
    [NX_LEGACY_PUT] = "ckv",
    [NX_LEGACY_GET] = "ck",
    [NX_LEGACY_EXISTS] = "ck",
    [NX_LEGACY_REMOVE] = "ck",
    [NX_LEGACY_GET_CHANNELS] = "",
    [NX_LEGACY_GET_CHANNEL_SIZE] = "c",
    [NX_LEGACY_GET_SIZE] = "",
    [NX_LEGACY_GET_RESPONSIBLE_RANGE] = "",
    [NX_LEGACY_REMOVE_CHANNEL] = "c",
    [NX_LEGACY_GET_NUM_CONNECTIONS] = "",
    [NX_LEGACY_GET_VERSION] = "",
    [NX_LEGACY_LISTEN] = "c",
    [NX_LEGACY_GET_ALL] = "c",
    [NX_LEGACY_GET_ALL_KEYS] = "c",
    [NX_LEGACY_GET_ALL_FILTER] = "cd",
    [NX_LEGACY_REDISTRIBUTE_REQUEST] = "r",
    [NX_LEGACY_PUT_BATCH] = "cd",
};

bool nx_key_read(nx_slice *key, uint8_t scratch[NX_HEX_KEY_BYTES], uint64_t *number) {
  if (nx_hex_number(*key, number)) return true;
  if (key->length != NX_HEX_KEY_BYTES) return false;
  for (uint32_t i = 0; i < NX_HEX_KEY_BYTES; i++) {
    uint8_t c = key->data[i];
    scratch[i] = c >= 'A' && c <= 'F' ? (uint8_t)(c | 0x20) : c;
  }
  *key = (nx_slice){scratch, NX_HEX_KEY_BYTES};
  return nx_hex_number(*key, number);
}

uint64_t nx_accounted_bytes(const nx_channel *channel) {
  return NX_ACCOUNTED_CHANNEL_BYTES + NX_ACCOUNTED_RECORD_BYTES * nx_channel_swarm_records(channel) +
         nx_channel_swarm_value_bytes(channel);
}

bool nx_is_size_exceeded(const nx_legacy *engine, uint64_t bytes) {
  return nx_is_swarm_size_exceeded(engine->store, engine->settings[NX_LEGACY_SIZE_BYTES_MAX], bytes);
}

/* Channels that only other protocols use do not count; one that is empty may be one of ours. */
static bool is_swarm_channel(const nx_channel *channel) {
  return nx_channel_records(channel) == 0 || nx_channel_swarm_records(channel) != 0;
}

void nx_legacy_size(const nx_legacy *engine, uint64_t *records_bytes) {
  records_bytes[0] = records_bytes[1] = 0;
  for (uint32_t i = 0; i < nx_store_channel_count(engine->store); i++) {
    const nx_channel *channel = nx_store_channel_at(engine->store, i);
    if (!is_swarm_channel(channel)) continue;
    records_bytes[0] += nx_channel_swarm_records(channel);
    records_bytes[1] += nx_accounted_bytes(channel);
  }
}

nx_channel *nx_legacy_channel(nx_legacy *engine, nx_slice name) {
  if (engine->channel != NULL) {
    nx_slice known = nx_channel_name(engine->channel);
    if (known.length == name.length && memcmp(known.data, name.data, name.length) == 0)
      return engine->channel;
  }
  nx_channel *channel = nx_store_channel(engine->store, name, false);
  if (channel != NULL) engine->channel = channel;
  return channel;
}

/* The channel, or NULL; *is_bad when the name is no channel's, which is then replied. */
static nx_channel *find_channel(nx_legacy *engine, nx_slice name, bool *is_bad) {
  nx_channel *channel = nx_legacy_channel(engine, name);
  *is_bad = channel == NULL && !nx_check_name(engine, name);
  return channel;
}

static void drop_bad_key(nx_legacy *engine, nx_legacy_connection *connection) {
  nx_events_say(&engine->events, "a key that is not 16 hex digits");
  connection->is_closing = true;
}

static void put(nx_legacy *engine, nx_legacy_connection *connection, const nx_legacy_request *request) {
  bool is_bad;
  nx_channel *channel = find_channel(engine, request->channel, &is_bad);
  if (is_bad) return;
  uint8_t scratch[NX_HEX_KEY_BYTES];
  nx_slice key = request->key;
  uint64_t number;
  if (!nx_key_read(&key, scratch, &number)) {
    drop_bad_key(engine, connection);
    return;
  }
  uint32_t status = NX_STATUS_OK;
  if (!nx_owns(engine, number)) {
    status = NX_STATUS_WRONG_NODE;
  } else if (request->value.length == 0) {
    status = NX_STATUS_EMPTY_VALUE;
  } else if (engine->is_refusing || nx_is_size_exceeded(engine, request->value.length)) {
    status = NX_STATUS_OUT_OF_MEMORY;
  } else {
    if (channel == NULL) channel = nx_store_channel(engine->store, request->channel, true);
    if (channel == NULL || nx_channel_put(channel, key, request->value, 0) != 0)
      status = NX_STATUS_OUT_OF_MEMORY;
    else nx_figures_action(&engine->figures, NX_ACTION_WRITTEN, request->value.length);
  }
  nx_status(engine, status);
}

/* The record of a swarm key. A text that is no key is the key of no record: it is not an error. */
static bool find_record(nx_legacy *engine, nx_channel *channel, nx_slice key, nx_record *record) {
  uint8_t scratch[NX_HEX_KEY_BYTES];
  uint64_t number;
  return channel != NULL && nx_key_read(&key, scratch, &number) &&
         nx_channel_get(channel, key, engine->now_ms, record) && record->value.length > 0;
}

static void get(nx_legacy *engine, const nx_legacy_request *request) {
  bool is_bad;
  nx_channel *channel = find_channel(engine, request->channel, &is_bad);
  if (is_bad) return;
  nx_record record;
  nx_slice value = {NULL, 0};
  if (find_record(engine, channel, request->key, &record)) {
    value = record.value;
    nx_figures_action(&engine->figures, NX_ACTION_READ, value.length);
  }
  nx_status(engine, NX_STATUS_OK);
  nx_append_array(&engine->replies, value);
}

static void exists(nx_legacy *engine, const nx_legacy_request *request) {
  bool is_bad;
  nx_channel *channel = find_channel(engine, request->channel, &is_bad);
  if (is_bad) return;
  nx_record record;
  uint8_t answer = find_record(engine, channel, request->key, &record);
  nx_status(engine, NX_STATUS_OK);
  nx_buffer_append(&engine->replies, &answer, 1);
}

static void remove_record(nx_legacy *engine, nx_legacy_connection *connection,
                          const nx_legacy_request *request) {
  bool is_bad;
  nx_channel *channel = find_channel(engine, request->channel, &is_bad);
  if (is_bad) return;
  uint8_t scratch[NX_HEX_KEY_BYTES];
  nx_slice key = request->key;
  uint64_t number;
  nx_record record;
  if (!nx_key_read(&key, scratch, &number)) {
    drop_bad_key(engine, connection);
    return;
  }
  uint32_t status = NX_STATUS_OK;
  if (!nx_owns(engine, number)) status = NX_STATUS_WRONG_NODE;
  else if (engine->is_refusing) status = NX_STATUS_OUT_OF_MEMORY;
  else {
    bool is_there = find_record(engine, channel, key, &record);
    if (is_there) nx_figures_action(&engine->figures, NX_ACTION_DELETED, record.value.length);
    if (is_there || nx_may_arrive(&engine->arrival, number))
      nx_swarm_remove(engine->store, &engine->arrival, request->channel, channel, number, engine->now_ms);
  }
  nx_status(engine, status);
}

static void get_channels(nx_legacy *engine) {
  nx_status(engine, NX_STATUS_OK);
  for (uint32_t i = 0; i < nx_store_channel_count(engine->store); i++) {
    const nx_channel *channel = nx_store_channel_at(engine->store, i);
    if (is_swarm_channel(channel)) nx_append_array(&engine->replies, nx_channel_name(channel));
  }
  nx_append_u64(&engine->replies, 0);
}

static void get_channel_size(nx_legacy *engine, const nx_legacy_request *request) {
  bool is_bad;
  nx_channel *channel = find_channel(engine, request->channel, &is_bad);
  if (is_bad) return;
  bool is_shown = channel != NULL && is_swarm_channel(channel);
  nx_append_address(engine);
  nx_append_u64(&engine->replies, is_shown ? nx_channel_swarm_records(channel) : 0);
  nx_append_u64(&engine->replies, is_shown ? nx_accounted_bytes(channel) : 0);
}

static void get_size(nx_legacy *engine) {
  uint64_t figures[2];
  nx_legacy_size(engine, figures);
  nx_append_address(engine);
  nx_append_u64(&engine->replies, figures[0]);
  nx_append_u64(&engine->replies, figures[1]);
}

static void remove_channel(nx_legacy *engine, const nx_legacy_request *request) {
  bool is_bad;
  nx_channel *channel = find_channel(engine, request->channel, &is_bad);
  if (is_bad) return;
  if (engine->is_refusing) {
    nx_status(engine, NX_STATUS_OUT_OF_MEMORY);
    return;
  }
  if (channel != NULL) nx_store_channel_remove(engine->store, channel);
  nx_status(engine, NX_STATUS_OK);
}

static void listen(nx_legacy *engine, nx_legacy_connection *connection, const nx_legacy_request *request) {
  if (!nx_check_name(engine, request->channel)) return;
  nx_channel *channel = nx_store_channel(engine->store, request->channel, true);
  if (channel == NULL) {
    nx_status(engine, NX_STATUS_OUT_OF_MEMORY);
    return;
  }
  nx_status(engine, NX_STATUS_OK);
  nx_listen_start(engine, connection, channel);
}

static bool is_range(uint64_t min, uint64_t max) { return min <= max || (min == UINT64_MAX && max == 0); }

static bool nodes_have_ranges(nx_slice nodes) {
  for (uint64_t at = 0;;) {
    uint64_t address_length = nx_load64(nodes.data + at);
    if (address_length == 0) return true;
    at += 8 + address_length + 2;
    if (!is_range(nx_load64(nodes.data + at), nx_load64(nodes.data + at + 8))) return false;
    at += 16;
  }
}

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }
static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

/*
 * What the node gains with a new range is still on its way. A request that changes nothing and names no other node
 * says that all of it has arrived.
 */
static void note_arrival(nx_legacy *engine, const nx_legacy_request *request) {
  nx_arrival *arrival = &engine->arrival;
  bool is_same = request->min == engine->range_min && request->max == engine->range_max;
  if (is_same && request->nodes.length == 8) {
    arrival->is_arriving = false;
    return;
  }
  if (is_same) return;
  uint64_t old_min = arrival->is_arriving ? arrival->settled_min : engine->range_min;
  uint64_t old_max = arrival->is_arriving ? arrival->settled_max : engine->range_max;
  arrival->settled_min = larger(old_min, request->min);
  arrival->settled_max = smaller(old_max, request->max);
  if (arrival->settled_min > arrival->settled_max) { /* nothing of it was the node's before */
    arrival->settled_min = UINT64_MAX;
    arrival->settled_max = 0;
  }
  arrival->is_arriving = request->min <= request->max &&
                         (request->min != arrival->settled_min || request->max != arrival->settled_max);
}

/* The new range holds at once, the answer is sent at once; moving the records is the caller's task. */
static void redistribute(nx_legacy *engine, const nx_legacy_request *request) {
  bool has_ranges = is_range(request->min, request->max) && nodes_have_ranges(request->nodes);
  if (engine->is_redistributing || !has_ranges) {
    nx_status(engine, NX_STATUS_ERROR);
    return;
  }
  uint64_t figures[2];
  nx_legacy_size(engine, figures);
  engine->redistribution_bytes_max =
      (uint64_t)((double)figures[1] * (double)engine->settings[NX_LEGACY_REDISTRIBUTE_PERCENT] / 100);
  engine->is_redistributing = true;
  engine->task.length = 0;
  nx_append_u64(&engine->task, request->min);
  nx_append_u64(&engine->task, request->max);
  nx_buffer_append(&engine->task, request->nodes.data, request->nodes.length);
  note_arrival(engine, request);
  nx_legacy_set_range(engine, request->min, request->max);
  engine->stop |= NX_LEGACY_REDISTRIBUTE;
  nx_status(engine, NX_STATUS_OK);
}

static void put_batch(nx_legacy *engine, nx_legacy_connection *connection, const nx_legacy_request *request) {
  uint32_t status = nx_batch_put(engine, request);
  if (status != 0) nx_status(engine, status);
  else connection->is_closing = true;
}

static void execute(nx_legacy *engine, nx_legacy_connection *connection, const nx_legacy_request *request) {
  switch (request->code) {
    case NX_LEGACY_PUT: put(engine, connection, request); return;
    case NX_LEGACY_GET: get(engine, request); return;
    case NX_LEGACY_EXISTS: exists(engine, request); return;
    case NX_LEGACY_REMOVE: remove_record(engine, connection, request); return;
    case NX_LEGACY_GET_CHANNELS: get_channels(engine); return;
    case NX_LEGACY_GET_CHANNEL_SIZE: get_channel_size(engine, request); return;
    case NX_LEGACY_GET_SIZE: get_size(engine); return;
    case NX_LEGACY_GET_RESPONSIBLE_RANGE:
      nx_status(engine, NX_STATUS_OK);
      nx_append_u64(&engine->replies, engine->range_min);
      nx_append_u64(&engine->replies, engine->range_max);
      return;
    case NX_LEGACY_REMOVE_CHANNEL: remove_channel(engine, request); return;
    case NX_LEGACY_GET_NUM_CONNECTIONS:
      nx_append_address(engine);
      nx_append_u64(&engine->replies, engine->connections);
      return;
    case NX_LEGACY_GET_VERSION:
      nx_status(engine, NX_STATUS_OK);
      nx_append_array(&engine->replies, (nx_slice){(const uint8_t *)VERSION, sizeof VERSION - 1});
      return;
    case NX_LEGACY_LISTEN: listen(engine, connection, request); return;
    case NX_LEGACY_GET_ALL:
    case NX_LEGACY_GET_ALL_KEYS:
    case NX_LEGACY_GET_ALL_FILTER:
      if (!nx_check_name(engine, request->channel)) return;
      nx_status(engine, NX_STATUS_OK);
      nx_bulk_start(engine, connection, request);
      return;
    case NX_LEGACY_REDISTRIBUTE_REQUEST: redistribute(engine, request); return;
    case NX_LEGACY_PUT_BATCH: put_batch(engine, connection, request); return;
    default: NX_ASSERT(!"a command that the parser does not let pass");
  }
}

/* Has the records of the next requests fetched into the cache; returns how many it covered. Only a hint. */
static uint32_t prefetch(nx_legacy *engine, const uint8_t *bytes, uint64_t length) {
  /* One request of the usual length is all there is: nothing to overlap with. */
  if (engine->channel == NULL || length < 2 * REQUEST_BYTES_MIN) return 1;
  nx_slice known = nx_channel_name(engine->channel);
  nx_slice keys[REQUESTS_AHEAD];
  uint32_t count = 0, covered = 0;
  for (uint64_t at = 0; covered < REQUESTS_AHEAD; covered++) {
    nx_legacy_request request;
    uint64_t array_max = engine->settings[NX_LEGACY_ARRAY_BYTES_MAX];
    if (nx_legacy_parse(shapes, bytes + at, length - at, array_max, array_max, &request) !=
        NX_LEGACY_COMPLETE)
      break;
    at += request.length;
    if (request.key.length == NX_HEX_KEY_BYTES && request.channel.length == known.length &&
        memcmp(request.channel.data, known.data, known.length) == 0)
      keys[count++] = request.key;
  }
  if (count > 1) nx_channel_prefetch(engine->channel, keys, count);
  return covered == 0 ? 1 : covered;
}

static const nx_buffer *effects(const nx_legacy *engine) { return nx_store_effects(engine->store); }

static void leave(nx_legacy *engine, nx_legacy_connection *connection) {
  if (connection->listener != NULL) nx_listen_drop(engine, connection);
}

static void detach(nx_legacy *engine) { nx_store_unobserve(engine->store, nx_listen_observe, engine); }

static const nx_legacy_backend backend = {
    .shapes = shapes,
    .effects = effects,
    .execute = execute,
    .prefetch = prefetch,
    .pump = nx_listen_continue,
    .waiting = nx_listen_waiting,
    .leave = leave,
    .detach = detach,
};

nx_legacy *nx_legacy_new(nx_store *store, const uint64_t *settings) {
  nx_legacy *engine = nx_legacy_make(&backend, settings);
  if (engine == NULL) return NULL;
  engine->store = store;
  nx_store_observe(store, nx_listen_observe, engine);
  return engine;
}
