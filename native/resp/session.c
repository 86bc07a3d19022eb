/* Commands about the connection itself that need nothing from outside. */
#include "commands.h"
#include "reply.h"

#define CHANNELS_BY_NUMBER 16

NX_COMMAND(ping) {
  (void)connection;
  if (engine->argc > 2) nx_reply_error(engine, "ERR wrong number of arguments for 'ping' command");
  else if (engine->argc == 2) nx_reply_bulk(engine, engine->argv[1]);
  else nx_reply_literal(engine, "+PONG\r\n");
}

NX_COMMAND(echo) {
  (void)connection;
  nx_reply_bulk(engine, engine->argv[1]);
}

/* A whole number however long; one with zeros in front is a name. */
static bool is_number(nx_slice text) {
  uint64_t first = text.length > 0 && text.data[0] == '-' ? 1 : 0;
  if (text.length == first || (text.data[first] == '0' && text.length > 1)) return false;
  for (uint64_t index = first; index < text.length; index++) {
    if (text.data[index] < '0' || text.data[index] > '9') return false;
  }
  return true;
}

/* A number selects the channel of that number, as clients expect of a database; any other valid name selects
 * that channel. A channel whose name is a number beyond the range cannot be selected. */
NX_COMMAND(select) {
  nx_slice name = engine->argv[1];
  int64_t number = 0;
  bool is_integer = nx_integer_read(name, &number);
  if (!is_integer && is_number(name)) {
    nx_reply_integer_error(engine);
  } else if (is_integer && (number < INT32_MIN || number > INT32_MAX)) {
    nx_reply_error(engine, "ERR value is out of range, value must between -2147483648 and 2147483647");
  } else if (is_integer && (number < 0 || number >= CHANNELS_BY_NUMBER)) {
    nx_reply_error(engine, "ERR DB index is out of range");
  } else if (!nx_channel_name_valid(name)) {
    nx_reply_error(engine, "ERR invalid channel name: 1 to 240 of A-Z a-z 0-9 _ -");
  } else {
    nx_connection_select(connection, name);
    nx_reply_ok(engine);
  }
}

NX_COMMAND(time) {
  (void)connection;
  int64_t micros = (int64_t)(engine->now_fraction_ms * 1000.0);
  char text[NX_INTEGER_TEXT_MAX];
  nx_reply_array(engine, 2);
  nx_reply_bulk(engine, (nx_slice){(const uint8_t *)text, nx_integer_print(micros / 1000000, text)});
  nx_reply_bulk(engine, (nx_slice){(const uint8_t *)text, nx_integer_print(micros % 1000000, text)});
}

NX_COMMAND(quit) {
  nx_reply_ok(engine);
  connection->closing = true;
}
