/*
 * Update: a record is read, its client decides, and the new value is stored only if nobody was faster.
 *
 *   client 01 GetRecord      node 05 and array value, or 07: there is no such record
 *   client 02 u64 FNV-1a of the old value, array new value      03 remove it here      04 leave it
 *   node   06 done           08 conflict: the record has another value by now     09 wrong node     0a error
 *
 * A request that begins with 02 stores at once; where there is no record, there is no conflict.
 */
#include <stdlib.h>

#include "dht.h"

enum { GET_RECORD = 1, UPDATE_RECORD = 2, REMOVE_RECORD = 3, LEAVE_RECORD = 4 };
enum { RECORD = 5, DONE = 6, NO_RECORD = 7, CONFLICT = 8, WRONG_NODE = 9, ERROR = 10 };

/* One that waits for its client to decide. */
typedef struct {
  nx_neo_request request;
  uint64_t key;
  uint32_t name_length;
  uint8_t name[NX_CHANNEL_NAME_BYTES_MAX];
} update;

static uint64_t fnv1a(nx_slice bytes) {
  uint64_t hash = UINT64_C(0xcbf29ce484222325);
  for (uint64_t i = 0; i < bytes.length; i++) hash = (hash ^ bytes.data[i]) * UINT64_C(0x100000001b3);
  return hash;
}

static bool take_new_value(nx_slice *payload, uint64_t *hash, nx_slice *value) {
  return nx_neo_take_u64(payload, hash) && nx_neo_take_array(payload, value);
}

static void replace(nx_neo *engine, uint64_t id, nx_slice name, uint64_t key, uint64_t hash, nx_slice value) {
  nx_record record;
  nx_channel *channel = nx_store_channel(nx_neo_store(engine), name, false);
  if (nx_neo_find_record(engine, channel, key, &record) && fnv1a(record.value) != hash)
    nx_neo_byte(engine, id, CONFLICT);
  else if (nx_neo_store_record(engine, name, key, value)) nx_neo_byte(engine, id, DONE);
  else nx_neo_error(engine, id, ERROR);
}

static nx_neo_outcome get_record(nx_neo *engine, nx_neo_connection *connection, uint64_t id, nx_slice name,
                                 uint64_t key) {
  nx_record record;
  nx_channel *channel = nx_store_channel(nx_neo_store(engine), name, false);
  if (!nx_neo_find_record(engine, channel, key, &record)) {
    nx_neo_byte(engine, id, NO_RECORD);
    return NX_NEO_DONE;
  }
  uint64_t place = nx_neo_open(engine, id);
  uint8_t kind = RECORD;
  nx_buffer_append(nx_neo_replies(engine), &kind, 1);
  nx_append_array(nx_neo_replies(engine), record.value);
  nx_neo_close(engine, place);
  nx_figures_action(nx_neo_figures(engine), NX_ACTION_READ, record.value.length);
  update *kept = calloc(1, sizeof *kept);
  NX_ASSERT(kept != NULL && name.length <= sizeof kept->name);
  kept->key = key;
  kept->name_length = (uint32_t)name.length;
  memcpy(kept->name, name.data, name.length);
  return nx_neo_keep(engine, connection, &kept->request, id, NX_NEO_UPDATE);
}

nx_neo_outcome nx_neo_update_begin(nx_neo *engine, nx_neo_connection *connection, uint64_t id, nx_slice payload) {
  uint8_t kind;
  nx_slice name, value = {NULL, 0};
  uint64_t key, hash = 0;
  if (!nx_neo_take_u8(&payload, &kind) || (kind != GET_RECORD && kind != UPDATE_RECORD) ||
      !nx_neo_take_array(&payload, &name) || !nx_neo_take_u64(&payload, &key) ||
      (kind == UPDATE_RECORD && !take_new_value(&payload, &hash, &value)))
    return NX_NEO_BROKEN;
  if (!nx_channel_name_valid(name)) nx_neo_error(engine, id, ERROR);
  else if (!nx_neo_owns(engine, key)) nx_neo_error(engine, id, WRONG_NODE);
  else if (kind == GET_RECORD) return get_record(engine, connection, id, name, key);
  else replace(engine, id, name, key, hash, value);
  return NX_NEO_DONE;
}

nx_neo_outcome nx_neo_update_message(nx_neo *engine, nx_neo_request *request, nx_slice payload) {
  const update *kept = (const update *)request;
  const nx_neo_dht *dht = nx_neo_context(engine);
  nx_slice name = {kept->name, kept->name_length}, value;
  uint8_t kind;
  uint64_t hash;
  if (!nx_neo_take_u8(&payload, &kind)) return NX_NEO_BROKEN;
  switch (kind) {
    case UPDATE_RECORD:
      if (!take_new_value(&payload, &hash, &value)) return NX_NEO_BROKEN;
      replace(engine, request->id, name, kept->key, hash, value);
      return NX_NEO_DONE;
    case REMOVE_RECORD: {
      if (dht->is_refusing) {
        nx_neo_error(engine, request->id, ERROR);
        return NX_NEO_DONE;
      }
      nx_channel *channel = nx_store_channel(nx_neo_store(engine), name, false);
      nx_swarm_remove(nx_neo_store(engine), &dht->arrival, name, channel, kept->key, nx_neo_now_ms(engine));
      nx_neo_byte(engine, request->id, DONE);
      return NX_NEO_DONE;
    }
    case LEAVE_RECORD: nx_neo_byte(engine, request->id, DONE); return NX_NEO_DONE;
    default: return NX_NEO_BROKEN;
  }
}
