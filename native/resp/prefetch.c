/* See prefetch.h. */
#include "prefetch.h"

#include "parser.h"

/* Enough to hide the latency of memory; more would push the first ones out of the cache again. */
#define REQUESTS_AHEAD 16u

/* Less than this holds hardly more than one request: an unpipelined client pays nothing. */
#define PIPELINED_BYTES_MIN 64u

/* Reads `<type><decimal>\r\n` at *at; false when it is not there in full or not a small number. */
static bool peek_number(const uint8_t *bytes, uint64_t length, uint64_t *at, uint8_t type, uint64_t *value) {
  uint64_t position = *at;
  if (position >= length || bytes[position] != type) return false;
  uint64_t number = 0;
  for (position++; position < length && bytes[position] >= '0' && bytes[position] <= '9'; position++) {
    number = number * 10 + (bytes[position] - '0');
    if (number > UINT32_MAX) return false;
  }
  if (length - position < 2 || bytes[position] != '\r') return false;
  *at = position + 2;
  *value = number;
  return true;
}

/* Steps over one whole request and tells its first argument; false when it is not there in full. */
static bool peek_request(const uint8_t *bytes, uint64_t length, uint64_t *at, nx_slice *key) {
  uint64_t count = 0;
  if (!peek_number(bytes, length, at, '*', &count) || count == 0 || count > 8) return false;
  for (uint64_t index = 0; index < count; index++) {
    uint64_t size = 0;
    if (!peek_number(bytes, length, at, '$', &size) || length - *at < size + 2) return false;
    if (index == 1) *key = (nx_slice){bytes + *at, size};
    *at += size + 2;
  }
  if (count == 1) *key = (nx_slice){bytes, 0};
  return true;
}

uint32_t nx_prefetch_requests(nx_resp *engine, nx_resp_connection *connection, const uint8_t *bytes, uint64_t length) {
  if (length < PIPELINED_BYTES_MIN) return 1;
  nx_slice keys[REQUESTS_AHEAD];
  uint32_t count = 0;
  uint64_t at = 0;
  while (count < REQUESTS_AHEAD && peek_request(bytes, length, &at, &keys[count])) count++;
  if (count < 2) return 1;
  nx_channel *channel = nx_channel_of(engine, connection);
  if (channel != NULL) nx_channel_prefetch(channel, keys, count);
  return count;
}
