/* Ids of stream entries as text: `<milliseconds>-<sequence>`. */
#include "commands.h"
#include "resp/number.h"

static uint32_t print_u64(uint64_t value, char *out) {
  char reversed[20];
  uint32_t digits = 0, length = 0;
  do {
    reversed[digits++] = (char)('0' + value % 10);
    value /= 10;
  } while (value != 0);
  while (digits > 0) out[length++] = reversed[--digits];
  return length;
}

void nx_reply_id(nx_resp *engine, nx_stream_id id) {
  char text[NX_ID_TEXT_MAX];
  uint32_t length = print_u64(id.ms, text);
  text[length++] = '-';
  length += print_u64(id.sequence, text + length);
  nx_reply_bulk(engine, (nx_slice){(const uint8_t *)text, length});
}

static bool read_u64(nx_slice text, uint64_t *value) {
  if (text.length == 0 || text.length > 20) return false;
  *value = 0;
  for (uint64_t index = 0; index < text.length; index++) {
    uint8_t digit = (uint8_t)(text.data[index] - '0');
    if (digit > 9 || __builtin_mul_overflow(*value, 10u, value)) return false;
    if (__builtin_add_overflow(*value, (uint64_t)digit, value)) return false;
  }
  return true;
}

static bool parse(nx_slice text, bool is_open, uint64_t missing, nx_stream_id *id) {
  if (is_open && text.length == 1 && (text.data[0] == '-' || text.data[0] == '+')) {
    *id = text.data[0] == '-' ? (nx_stream_id){0, 0} : NX_ID_MAX;
    return true;
  }
  const uint8_t *dash = text.length == 0 ? NULL : memchr(text.data, '-', text.length);
  nx_slice ms = {text.data, dash == NULL ? text.length : (uint64_t)(dash - text.data)};
  id->sequence = missing;
  if (!read_u64(ms, &id->ms)) return false;
  return dash == NULL || read_u64((nx_slice){dash + 1, text.length - ms.length - 1}, &id->sequence);
}

bool nx_is_id(nx_slice text) {
  nx_stream_id id;
  return parse(text, false, 0, &id);
}

bool nx_read_id(nx_resp *engine, nx_slice text, bool is_open, uint64_t missing, nx_stream_id *id) {
  if (parse(text, is_open, missing, id)) return true;
  nx_reply_error(engine, "ERR Invalid stream ID specified as stream command argument");
  return false;
}

bool nx_read_bound(nx_resp *engine, nx_slice text, bool is_start, nx_stream_id *id) {
  bool is_exclusive = text.length > 1 && text.data[0] == '(';
  if (is_exclusive) text = (nx_slice){text.data + 1, text.length - 1};
  if (!nx_read_id(engine, text, !is_exclusive, is_start ? 0 : UINT64_MAX, id)) return false;
  if (!is_exclusive) return true;
  if (is_start ? nx_id_next(id) : nx_id_previous(id)) return true;
  nx_reply_error(engine, "ERR invalid %s ID for the interval", is_start ? "start" : "end");
  return false;
}

/* What an entry takes in a reply beside its strings: ids and lengths as text. */
#define ENTRY_TEXT_MAX 96u
#define STRING_TEXT_MAX 24u

bool nx_entry_fits(const nx_resp *engine, const nx_entry *entry) {
  uint64_t bytes = entry->bytes.length + entry->strings * (uint64_t)STRING_TEXT_MAX + ENTRY_TEXT_MAX;
  return engine->replies.length - engine->reply_start + bytes <= engine->settings[NX_RESP_REPLY_BYTES_MAX];
}

void nx_reply_entry(nx_resp *engine, const nx_entry *entry) {
  nx_slice rest = entry->bytes;
  nx_reply_array(engine, 2);
  nx_reply_id(engine, entry->id);
  nx_reply_array(engine, entry->strings);
  for (uint32_t index = 0; index < entry->strings && !engine->reply_too_large; index++)
    nx_reply_bulk(engine, nx_entry_string(&rest));
}
