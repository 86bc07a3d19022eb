/* A connection's channel: chosen by name, found on first use, found again after any channel was removed. */
#include <stdlib.h>
#include <string.h>
#include "engine.h"

static uint8_t channel_zero[] = "0";

nx_slice nx_connection_channel_name(const nx_resp_connection *connection) {
  if (connection->channel_name == NULL) return (nx_slice){channel_zero, 1};
  return (nx_slice){connection->channel_name, connection->channel_name_length};
}

void nx_connection_select(nx_resp_connection *connection, nx_slice name) {
  free(connection->channel_name);
  connection->channel_name = NULL;
  connection->channel_name_length = 0;
  connection->channel = NULL;
  if (name.length == 1 && name.data[0] == '0') return;
  connection->channel_name = malloc(name.length);
  NX_ASSERT(connection->channel_name != NULL);
  memcpy(connection->channel_name, name.data, name.length);
  connection->channel_name_length = (uint32_t)name.length;
}

nx_channel *nx_connection_channel_find(nx_resp *engine, nx_resp_connection *connection, bool create) {
  connection->channel = nx_store_channel(engine->store, nx_connection_channel_name(connection), create);
  connection->channel_epoch = engine->channel_epoch;
  return connection->channel;
}

nx_resp_connection *nx_resp_connect(nx_resp *engine) {
  nx_resp_connection *connection = calloc(1, sizeof *connection);
  NX_ASSERT(connection != NULL);
  connection->protocol = 2;
  connection->authenticated = engine->settings[NX_RESP_AUTHENTICATION_REQUIRED] == 0;
  engine->connections++;
  return connection;
}

void nx_resp_connection_set(nx_resp_connection *connection, uint32_t field, uint32_t value) {
  if (field == NX_RESP_SET_PROTOCOL && (value == 2 || value == 3)) connection->protocol = (uint8_t)value;
  if (field == NX_RESP_SET_AUTHENTICATED) connection->authenticated = value != 0;
}

void nx_resp_connection_reset(nx_resp *engine, nx_resp_connection *connection) {
  nx_transaction_drop(engine, connection);
  nx_watch_clear(engine, connection);
  nx_connection_select(connection, (nx_slice){channel_zero, 1});
  connection->protocol = 2;
  connection->authenticated = engine->settings[NX_RESP_AUTHENTICATION_REQUIRED] == 0;
}
