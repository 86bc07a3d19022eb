/*
 * Produce and ProduceMulti: a connection that sends records until an empty one, without any answer.
 *
 * What finds no room is dropped silently, as the protocol has it; it is counted as refused. While the log takes nothing
 * the connection ends instead: dropping everything would pass for storing it.
 */
#include <stdlib.h>

#include "legacy.h"

struct nx_production {
  uint64_t length;
  uint8_t names[]; /* a list as the wire has it */
};

void nx_produce_start(nx_legacy_connection *connection, nx_slice names, bool is_list) {
  uint64_t length = is_list ? names.length : 8 + names.length + 8;
  nx_production *production = calloc(1, sizeof *production + length);
  NX_ASSERT(production != NULL);
  production->length = length;
  if (is_list) {
    nx_copy(production->names, names.data, names.length);
  } else {
    nx_store64(production->names, names.length);
    nx_copy(production->names + 8, names.data, names.length);
  }
  connection->production = production;
}

void nx_produce_drop(nx_legacy_connection *connection) {
  free(connection->production);
  connection->production = NULL;
}

static void store(nx_legacy *engine, const nx_production *production, nx_slice record) {
  nx_slice list = {production->names, production->length}, name;
  for (uint64_t at = 0; nx_next_name(list, &at, &name);) {
    nx_queue *queue = nx_legacy_open(engine, name);
    if (queue != NULL && nx_queue_push(queue, record, NX_BACK) == 0)
      nx_figures_action(&engine->figures, NX_ACTION_WRITTEN, record.length);
  }
}

uint64_t nx_produce_take(nx_legacy *engine, nx_legacy_connection *connection, const uint8_t *bytes, uint64_t length) {
  if (length < 8) return 0;
  uint64_t size = nx_load64(bytes);
  if (size > engine->settings[NX_LEGACY_ARRAY_BYTES_MAX]) {
    nx_produce_drop(connection);
    nx_legacy_skip(engine, connection, size);
    return 8;
  }
  if (length - 8 < size) return 0;
  if (size == 0) {
    nx_produce_drop(connection);
  } else if (engine->is_refusing) {
    nx_events_say(&engine->events, "records of a Produce stream while writes are refused");
    connection->is_closing = true;
  } else {
    store(engine, connection->production, (nx_slice){bytes + 8, size});
  }
  return 8 + size;
}
