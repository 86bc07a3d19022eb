/* The codec of tcm.h: reading and dumping. The text form is in tcm-lines.c. */
#include "tcm.h"

#include <errno.h>

#include "channel.h"
#include "nx.h"
#include "tcm-lines.h"

#define SECTOR_BYTES 512u
#define DUMP_BUCKETS_MAX 4096u

/* --- reading ----------------------------------------------------------------------------------------------- */

static uint64_t reversed(uint64_t bits) {
  bits = __builtin_bswap64(bits);
  bits = (bits >> 4 & UINT64_C(0x0f0f0f0f0f0f0f0f)) | (bits & UINT64_C(0x0f0f0f0f0f0f0f0f)) << 4;
  bits = (bits >> 2 & UINT64_C(0x3333333333333333)) | (bits & UINT64_C(0x3333333333333333)) << 2;
  return (bits >> 1 & UINT64_C(0x5555555555555555)) | (bits & UINT64_C(0x5555555555555555)) << 1;
}

bool nx_tcm_key(const uint8_t *text, uint64_t *key) {
  const uint64_t spaces = UINT64_C(0x2020202020202020);
  uint64_t first = nx_load64(text), second = nx_load64(text + 8);
  /* Lower case is a letter with the bit of a space; a control character must not become a digit that way. */
  if (((first | first >> 1) & (second | second >> 1) & spaces) != spaces) return false;
  uint32_t high, low;
  if (!nx_hex8(first | spaces, &high) || !nx_hex8(second | spaces, &low)) return false;
  *key = (uint64_t)high << 32 | low;
  return true;
}

static void refuse(nx_tcm_reader *reader, uint64_t reason) {
  reader->phase = NX_TCM_REFUSED;
  reader->reason = reason;
}

static void note(const nx_tcm_reader *reader, const nx_tcm_sink *sink, uint64_t kind, uint64_t count,
                 uint64_t detail) {
  if (sink->notes == NULL || count > NX_TCM_NOTES_MAX) return;
  uint64_t words[3] = {kind, reader->record_offset, detail};
  nx_buffer_append(sink->notes, words, sizeof words);
}

static void store_number(nx_channel *channel, uint64_t number, nx_slice value) {
  nx_key key = {.length = 8, .is_compact = true};
  nx_store64(key.compact_bytes, number);
  key.data = key.compact_bytes;
  key.hash = nx_siphash(channel->table.seed, key.data, key.length);
  NX_ASSERT(nx_channel_put_key(channel, &key, value, 0, true) == 0);
}

/* A record of another node. False when it is not to be loaded. */
static bool accepts_foreign(nx_tcm_reader *reader, const nx_tcm_sink *sink, uint64_t key) {
  reader->foreign += 1;
  note(reader, sink, NX_TCM_FOREIGN, reader->foreign, key);
  if (reader->out_of_range == NX_TCM_FATAL) refuse(reader, NX_TCM_OUT_OF_RANGE);
  bool are_all = reader->foreign == reader->records + 1;
  if (reader->abort_after != 0 && are_all && reader->foreign > reader->abort_after)
    refuse(reader, NX_TCM_ALL_OUT_OF_RANGE);
  return reader->out_of_range == NX_TCM_LOAD && reader->phase != NX_TCM_REFUSED;
}

/* A whole record with a usable key and a value that fits. */
static void take_record(nx_tcm_reader *reader, const nx_tcm_sink *sink, uint64_t key, nx_slice value) {
  uint64_t hash = reversed(key);
  if ((hash < reader->range_min || hash > reader->range_max) && !accepts_foreign(reader, sink, key)) return;
  if (sink->channel != NULL) store_number(sink->channel, key, value);
  if (sink->lines != NULL) nx_tcm_line_append(sink->lines, key, value);
  reader->loaded += 1;
  reader->loaded_bytes += value.length;
}

static void end_record(nx_tcm_reader *reader) {
  if (reader->phase == NX_TCM_REFUSED) return;
  reader->records += 1;
  reader->record_offset = reader->offset;
  bool is_last = reader->header != 0 && reader->records == reader->header;
  reader->phase = is_last ? NX_TCM_PADDING : NX_TCM_RECORDS;
}

/* Skips the value of a record that is not loaded, as far as it is there. */
static uint64_t skip(nx_tcm_reader *reader, uint64_t length) {
  uint64_t taken = length < reader->skip ? length : reader->skip;
  reader->skip -= taken;
  reader->offset += taken;
  if (reader->skip == 0) end_record(reader);
  else reader->phase = NX_TCM_SKIPPING;
  return taken;
}

/* One record, or the end mark. Returns the bytes taken, 0 when more are needed. */
static uint64_t read_record(nx_tcm_reader *reader, const nx_tcm_sink *sink, const uint8_t *bytes,
                            uint64_t length) {
  if (length < 8) return 0;
  uint64_t key_length = nx_load64(bytes);
  if (key_length == 0 && reader->header == 0) {
    reader->offset += 8;
    reader->phase = NX_TCM_ENDED;
    return 8;
  }
  if (key_length == 0 || key_length > NX_KEY_BYTES_MAX) return refuse(reader, NX_TCM_KEY_LENGTH), 0;
  if (length < 16 + key_length) return 0;
  uint64_t value_length = nx_load64(bytes + 8 + key_length), head = 16 + key_length, key = 0;
  if (value_length > NX_VALUE_BYTES_MAX) return refuse(reader, NX_TCM_VALUE_LENGTH), 0;
  bool is_number = key_length == 8 || (key_length == 16 && nx_tcm_key(bytes + 8, &key));
  if (key_length == 8) key = nx_load64(bytes + 8);
  if (!is_number) {
    reader->bad_keys += 1;
    note(reader, sink, NX_TCM_BAD_KEY, reader->bad_keys, key_length);
  } else if (value_length == 0) {
    reader->empty_values += 1;
    note(reader, sink, NX_TCM_EMPTY, reader->empty_values, key);
  } else if (value_length > reader->value_bytes_max) {
    reader->large_values += 1;
    note(reader, sink, NX_TCM_LARGE, reader->large_values, key);
  } else {
    if (length - head < value_length) return 0;
    take_record(reader, sink, key, (nx_slice){bytes + head, value_length});
    if (reader->phase == NX_TCM_REFUSED) return 0;
    reader->offset += head + value_length;
    end_record(reader);
    return head + value_length;
  }
  reader->offset += head;
  reader->skip = value_length;
  return head + skip(reader, length - head);
}

static uint64_t read_padding(nx_tcm_reader *reader, const uint8_t *bytes, uint64_t length) {
  for (uint64_t at = 0; at < length; at++) {
    reader->record_offset = reader->offset;
    if (bytes[at] != 0) return refuse(reader, NX_TCM_TRAILING), at;
    reader->offset += 1;
  }
  return length;
}

uint64_t nx_tcm_read(nx_tcm_reader *reader, const nx_tcm_sink *sink, const uint8_t *bytes, uint64_t length) {
  uint64_t at = 0;
  while (at < length) {
    uint64_t taken = 0, rest = length - at;
    switch (reader->phase) {
      case NX_TCM_HEADER:
        if (rest < 8) return at;
        reader->header = nx_load64(bytes + at);
        reader->offset = reader->record_offset = taken = 8;
        reader->phase = NX_TCM_RECORDS;
        break;
      case NX_TCM_RECORDS:
        taken = read_record(reader, sink, bytes + at, rest);
        break;
      case NX_TCM_SKIPPING:
        taken = skip(reader, rest);
        break;
      case NX_TCM_PADDING:
        taken = read_padding(reader, bytes + at, rest);
        break;
      case NX_TCM_ENDED:
        reader->offset += rest;
        return length;
      default:
        return at;
    }
    if (taken == 0) return at;
    at += taken;
  }
  return at;
}

/* --- dumping ----------------------------------------------------------------------------------------------- */

typedef struct {
  nx_channel *channel;
  nx_tcm_dumper *dumper;
  nx_buffer *tcm, *side;
  int64_t now_ms;
} dump_to;

void nx_tcm_record_append(nx_buffer *tcm, uint64_t key, nx_slice value) {
  nx_buffer_reserve(tcm, 32 + value.length);
  uint8_t *at = tcm->data + tcm->length;
  nx_store64(at, NX_HEX_KEY_BYTES);
  nx_tcm_hex(key, at + 8);
  nx_store64(at + 24, value.length);
  nx_copy(at + 32, value.data, value.length);
  tcm->length += 32 + value.length;
}

static void dump_record(void *context, nx_rec *rec) {
  dump_to *to = context;
  if (nx_rec_is_expired(rec, to->now_ms)) return;
  nx_slice value = {nx_rec_value(rec), nx_rec_value_length(rec)};
  bool is_plain = nx_rec_is_compact(rec) && !nx_rec_is_expiring(rec) && value.length != 0 &&
                  value.length <= to->dumper->value_bytes_max;
  if (is_plain) {
    nx_tcm_record_append(to->tcm, nx_load64(nx_rec_key(rec)), value);
    to->dumper->records += 1;
    to->dumper->bytes += 32 + value.length;
    return;
  }
  nx_effect effect = {
      .operation = NX_EFFECT_PUT,
      .is_key_compact = nx_rec_is_compact(rec),
      .name = nx_channel_name(to->channel),
      .key = {nx_rec_key(rec), nx_rec_key_length(rec)},
      .value = value,
      .expires_at_ms = nx_rec_expires_at_ms(rec),
  };
  nx_effect_append(to->side, &effect);
  to->dumper->side_records += 1;
}

void nx_tcm_begin(nx_buffer *tcm) {
  uint64_t header = 0;
  nx_buffer_append(tcm, &header, sizeof header);
}

int nx_tcm_dump(nx_store *store, nx_slice name, nx_tcm_dumper *dumper, int64_t now_ms, uint64_t bytes_target,
                nx_buffer *tcm, nx_buffer *side) {
  nx_channel *channel = nx_store_channel(store, name, false);
  if (channel == NULL) return -ENOENT;
  if (dumper->channel_id == 0) dumper->channel_id = channel->id;
  if (dumper->channel_id != channel->id) return -ENOENT;
  dump_to to = {channel, dumper, tcm, side, now_ms};
  for (uint32_t buckets = 0; buckets < DUMP_BUCKETS_MAX; buckets++) {
    dumper->cursor = nx_table_scan(&channel->table, dumper->cursor, dump_record, &to);
    if (dumper->cursor == 0) return 0;
    if (tcm->length >= bytes_target || side->length >= bytes_target) break;
  }
  return 1;
}

void nx_tcm_end(nx_buffer *tcm, uint64_t file_bytes) {
  static const uint8_t zeros[SECTOR_BYTES];
  uint64_t end = file_bytes + tcm->length + 8;
  nx_buffer_append(tcm, zeros, 8);
  nx_buffer_append(tcm, zeros, (SECTOR_BYTES - end % SECTOR_BYTES) % SECTOR_BYTES);
}

/* --- the second file --------------------------------------------------------------------------------------- */

int64_t nx_tcm_side_apply(nx_channel *channel, const uint8_t *bytes, uint64_t length, int64_t now_ms,
                          bool keep_existing) {
  int64_t count = 0;
  for (uint64_t at = 0; at < length; count++) {
    nx_effect effect;
    int64_t taken = nx_effect_read(bytes + at, length - at, &effect);
    if (taken < 0 || effect.operation != NX_EFFECT_PUT) return -EBADMSG;
    at += (uint64_t)taken;
    if (channel == NULL || (effect.expires_at_ms != 0 && effect.expires_at_ms <= now_ms)) continue;
    nx_key key = {.data = effect.key.data, .length = 8, .is_compact = true};
    if (effect.is_key_compact) key.hash = nx_siphash(channel->table.seed, key.data, key.length);
    else nx_key_make(&key, effect.key, channel->table.seed);
    if (keep_existing && nx_table_find(&channel->table, &key).bucket != NULL) continue;
    NX_ASSERT(nx_channel_put_key(channel, &key, effect.value, effect.expires_at_ms, true) == 0);
  }
  return count;
}
