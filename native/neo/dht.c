/*
 * The dht node's requests that are answered at once, and the table of all of them.
 *
 * The answers are one byte after "supported"; what it means is the request's own (the spec's table 4.4).
 */
#include "dht.h"

#include <stdlib.h>

bool nx_neo_find_record(nx_neo *engine, nx_channel *channel, uint64_t key, nx_record *record) {
  if (channel == NULL) return false;
  uint8_t text[NX_HEX_KEY_BYTES];
  nx_hex_text(key, text);
  return nx_channel_get(channel, (nx_slice){text, sizeof text}, nx_neo_now_ms(engine), record) &&
         record->value.length > 0;
}

bool nx_neo_store_record(nx_neo *engine, nx_slice name, uint64_t key, nx_slice value) {
  const nx_neo_dht *dht = nx_neo_context(engine);
  nx_store *store = nx_neo_store(engine);
  if (dht->is_refusing || value.length == 0 || value.length > NX_NEO_VALUE_BYTES_MAX ||
      nx_is_swarm_size_exceeded(store, nx_neo_setting(engine, NX_NEO_SIZE_BYTES_MAX), value.length))
    return false;
  nx_channel *channel = nx_store_channel(store, name, true); /* NULL for a bad name, too */
  uint8_t text[NX_HEX_KEY_BYTES];
  nx_hex_text(key, text);
  if (channel == NULL || nx_channel_put(channel, (nx_slice){text, sizeof text}, value, 0) != 0) return false;
  nx_figures_action(nx_neo_figures(engine), NX_ACTION_WRITTEN, value.length);
  return true;
}

static nx_neo_outcome put(nx_neo *engine, uint64_t id, nx_slice payload) {
  enum { STORED = 1, WRONG_NODE = 2, ERROR = 3 };
  nx_slice channel, value;
  uint64_t key;
  if (!nx_neo_take_array(&payload, &channel) || !nx_neo_take_u64(&payload, &key) ||
      !nx_neo_take_array(&payload, &value))
    return NX_NEO_BROKEN;
  if (!nx_neo_owns(engine, key)) nx_neo_error(engine, id, WRONG_NODE);
  else if (nx_neo_store_record(engine, channel, key, value)) nx_neo_byte(engine, id, STORED);
  else nx_neo_error(engine, id, ERROR);
  return NX_NEO_DONE;
}

/* What Get, Exists and Remove begin with; *channel is NULL when there is none of that name. */
typedef struct {
  nx_slice name;
  nx_channel *channel;
  uint64_t key;
  uint8_t refusal; /* 0: none, else the answer */
} one_key;

static bool read_one_key(nx_neo *engine, nx_slice payload, one_key *out, uint8_t wrong_node, uint8_t error) {
  if (!nx_neo_take_array(&payload, &out->name) || !nx_neo_take_u64(&payload, &out->key)) return false;
  out->channel = nx_store_channel(nx_neo_store(engine), out->name, false);
  out->refusal = 0;
  if (out->channel == NULL && !nx_channel_name_valid(out->name)) out->refusal = error;
  else if (!nx_neo_owns(engine, out->key)) out->refusal = wrong_node;
  return true;
}

static nx_neo_outcome get(nx_neo *engine, uint64_t id, nx_slice payload) {
  enum { NO_RECORD = 1, RECORD = 2, WRONG_NODE = 3, ERROR = 4 };
  one_key of;
  nx_record record;
  if (!read_one_key(engine, payload, &of, WRONG_NODE, ERROR)) return NX_NEO_BROKEN;
  if (of.refusal != 0) nx_neo_error(engine, id, of.refusal);
  else if (!nx_neo_find_record(engine, of.channel, of.key, &record)) nx_neo_byte(engine, id, NO_RECORD);
  else {
    nx_neo_byte(engine, id, RECORD);
    uint64_t place = nx_neo_open(engine, id);
    nx_append_array(nx_neo_replies(engine), record.value);
    nx_neo_close(engine, place);
    nx_figures_action(nx_neo_figures(engine), NX_ACTION_READ, record.value.length);
  }
  return NX_NEO_DONE;
}

static nx_neo_outcome exists(nx_neo *engine, uint64_t id, nx_slice payload) {
  enum { YES = 1, NO = 2, WRONG_NODE = 3, ERROR = 4 };
  one_key of;
  nx_record record;
  if (!read_one_key(engine, payload, &of, WRONG_NODE, ERROR)) return NX_NEO_BROKEN;
  if (of.refusal != 0) nx_neo_error(engine, id, of.refusal);
  else nx_neo_byte(engine, id, nx_neo_find_record(engine, of.channel, of.key, &record) ? YES : NO);
  return NX_NEO_DONE;
}

static nx_neo_outcome remove_record(nx_neo *engine, uint64_t id, nx_slice payload) {
  enum { NO_RECORD = 1, REMOVED = 2, WRONG_NODE = 3, ERROR = 4 };
  const nx_neo_dht *dht = nx_neo_context(engine);
  one_key of;
  nx_record record;
  if (!read_one_key(engine, payload, &of, WRONG_NODE, ERROR)) return NX_NEO_BROKEN;
  if (of.refusal == 0 && dht->is_refusing) of.refusal = ERROR;
  if (of.refusal != 0) {
    nx_neo_error(engine, id, of.refusal);
    return NX_NEO_DONE;
  }
  bool is_there = nx_neo_find_record(engine, of.channel, of.key, &record);
  if (is_there) nx_figures_action(nx_neo_figures(engine), NX_ACTION_DELETED, record.value.length);
  if (is_there || nx_may_arrive(&dht->arrival, of.key))
    nx_swarm_remove(nx_neo_store(engine), &dht->arrival, of.name, of.channel, of.key, nx_neo_now_ms(engine));
  nx_neo_byte(engine, id, is_there ? REMOVED : NO_RECORD);
  return NX_NEO_DONE;
}

static nx_neo_outcome get_channels(nx_neo *engine, uint64_t id) {
  enum { NAME = 2, FINISHED = 3 };
  nx_store *store = nx_neo_store(engine);
  for (uint32_t i = 0; i < nx_store_channel_count(store); i++) {
    const nx_channel *channel = nx_store_channel_at(store, i);
    /* Channels that only other protocols use do not count; one that is empty may be one of ours. */
    if (nx_channel_records(channel) != 0 && nx_channel_swarm_records(channel) == 0) continue;
    uint64_t place = nx_neo_open(engine, id);
    uint8_t kind = NAME;
    nx_buffer_append(nx_neo_replies(engine), &kind, 1);
    nx_append_array(nx_neo_replies(engine), nx_channel_name(channel));
    nx_neo_close(engine, place);
  }
  nx_neo_byte(engine, id, FINISHED);
  return NX_NEO_DONE;
}

static nx_neo_outcome remove_channel(nx_neo *engine, const nx_neo_connection *connection, uint64_t id,
                                     nx_slice payload) {
  enum { REMOVED = 1, NOT_PERMITTED = 2, ERROR = 3 };
  const nx_neo_dht *dht = nx_neo_context(engine);
  nx_slice name;
  if (!nx_neo_take_array(&payload, &name)) return NX_NEO_BROKEN;
  nx_channel *channel = nx_store_channel(nx_neo_store(engine), name, false);
  if (!nx_neo_may_administrate(connection)) nx_neo_error(engine, id, NOT_PERMITTED);
  else if (dht->is_refusing || !nx_channel_name_valid(name)) nx_neo_error(engine, id, ERROR);
  else {
    if (channel != NULL) nx_store_channel_remove(nx_neo_store(engine), channel);
    nx_neo_byte(engine, id, REMOVED);
  }
  return NX_NEO_DONE;
}

/* --- the service ----------------------------------------------------------------------------------------- */

static nx_neo_outcome begin(nx_neo *engine, nx_neo_connection *connection, uint64_t id, uint8_t code,
                            nx_slice payload) {
  switch (code) {
    case NX_NEO_GET_HASH_RANGE: return nx_neo_hash_range_begin(engine, connection, id);
    case NX_NEO_PUT: return put(engine, id, payload);
    case NX_NEO_GET: return get(engine, id, payload);
    case NX_NEO_MIRROR: return nx_neo_mirror_begin(engine, connection, id, payload);
    case NX_NEO_GET_ALL: return nx_neo_get_all_begin(engine, connection, id, payload);
    case NX_NEO_GET_CHANNELS: return get_channels(engine, id);
    case NX_NEO_EXISTS: return exists(engine, id, payload);
    case NX_NEO_REMOVE: return remove_record(engine, id, payload);
    case NX_NEO_REMOVE_CHANNEL: return remove_channel(engine, connection, id, payload);
    case NX_NEO_UPDATE: return nx_neo_update_begin(engine, connection, id, payload);
    default: NX_ASSERT(!"a code that the engine does not let pass");
  }
  return NX_NEO_BROKEN;
}

static nx_neo_outcome message(nx_neo *engine, nx_neo_request *request, nx_slice payload) {
  switch (request->code) {
    case NX_NEO_GET_ALL: return nx_neo_get_all_message(engine, request, payload);
    case NX_NEO_MIRROR: return nx_neo_mirror_message(engine, request, payload);
    case NX_NEO_UPDATE: return nx_neo_update_message(engine, request, payload);
    default: return NX_NEO_BROKEN; /* it waits for nothing */
  }
}

static nx_neo_outcome pump(nx_neo *engine, nx_neo_request *request) {
  switch (request->code) {
    case NX_NEO_GET_ALL: return nx_neo_get_all_pump(engine, request);
    case NX_NEO_MIRROR: return nx_neo_mirror_pump(engine, request);
    case NX_NEO_GET_HASH_RANGE: return nx_neo_hash_range_pump(engine, request);
    default: return NX_NEO_KEPT;
  }
}

static bool waits(const nx_neo_request *request, int64_t now_ms) {
  switch (request->code) {
    case NX_NEO_GET_ALL: return nx_neo_get_all_waits(request);
    case NX_NEO_MIRROR: return nx_neo_mirror_waits(request, now_ms);
    case NX_NEO_GET_HASH_RANGE: return nx_neo_hash_range_waits(request);
    default: return false;
  }
}

static void drop(nx_neo *engine, nx_neo_request *request) {
  (void)engine;
  if (request->code == NX_NEO_MIRROR) nx_neo_mirror_drop(request);
  free(request);
}

static void free_service(nx_neo *engine) {
  nx_neo_dht *dht = nx_neo_context(engine);
  nx_store_unobserve(nx_neo_store(engine), nx_neo_mirror_observe, engine);
  nx_buffer_free(&dht->range_events);
  nx_buffer_free(&dht->content);
  nx_buffer_free(&dht->bucket);
  free(dht);
}

static const nx_buffer *effects(nx_neo *engine) { return nx_store_effects(nx_neo_store(engine)); }

static const nx_neo_service service = {
    .versions = {NX_NEO_NO_VERSION, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NX_NEO_NO_VERSION, NX_NEO_NO_VERSION,
                 NX_NEO_NO_VERSION, NX_NEO_NO_VERSION, NX_NEO_NO_VERSION},
    .begin = begin,
    .message = message,
    .pump = pump,
    .waits = waits,
    .drop = drop,
    .effects = effects,
    .free = free_service,
};

nx_neo *nx_neo_new(nx_store *store, const uint64_t *settings) {
  nx_neo_dht *dht = calloc(1, sizeof *dht);
  NX_ASSERT(dht != NULL);
  dht->range_max = UINT64_MAX;
  nx_neo *engine = nx_neo_new_for(&service, dht, store, settings);
  if (engine == NULL) {
    free(dht);
    return NULL;
  }
  nx_store_observe(store, nx_neo_mirror_observe, engine);
  return engine;
}

void nx_neo_set_settled(nx_neo *engine, uint64_t min, uint64_t max, uint32_t is_arriving) {
  nx_neo_dht *dht = nx_neo_context(engine);
  dht->arrival = (nx_arrival){min, max, is_arriving != 0};
}

void nx_neo_refuse_writes(nx_neo *engine, uint32_t is_refusing) {
  nx_neo_dht *dht = nx_neo_context(engine);
  dht->is_refusing = is_refusing != 0;
}
