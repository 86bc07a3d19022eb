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

/* A number selects the channel of that number, as clients expect of a database; any other valid name selects
 * that channel. A channel whose name is a number beyond the range cannot be selected. */
NX_COMMAND(select) {
  nx_slice name = engine->argv[1];
  int64_t number = 0;
  if (nx_integer_read(name, &number) && (number < 0 || number >= CHANNELS_BY_NUMBER)) {
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
