/*
 * The reader of log-reader.h: a machine that waits for one unit at a time (file header, pack header, the data of one
 * record). Units that arrive whole are used where they are; only a split one is put together in `carry`.
 */
#include "log-reader.h"

#include <errno.h>
#include <snappy-c.h>
#include <stdlib.h>

#include "../bytes.h"
#include "../stretches.h"
#include "checksum.h"

struct nx_log_reader {
  nx_log_state state;
  nx_codec *codec;
  uint32_t codec_id, level;
  nx_buffer out, carry, unpacked;
  uint8_t header[4096];
  uint32_t records, record; /* of the pack under way */
  nx_diff_record *writes;
  uint64_t count, capacity;
  bool is_in_place, is_trusting;
  uint64_t position; /* in the stream, of the unit that is waited for */
};

nx_log_reader *nx_log_reader_new(uint32_t codec, uint32_t level, uint64_t out_offset) {
  NX_ASSERT(codec < NX_CODEC_COUNT);
  nx_log_reader *reader = calloc(1, sizeof *reader);
  NX_ASSERT(reader != NULL);
  reader->codec = nx_codec_new();
  reader->codec_id = codec;
  reader->level = level;
  reader->state.out_offset = out_offset;
  reader->state.lsid = NX_WLOG_NO_LSID;
  return reader;
}

void nx_log_reader_free(nx_log_reader *reader) {
  nx_codec_free(reader->codec);
  nx_buffer_free(&reader->out);
  nx_buffer_free(&reader->carry);
  nx_buffer_free(&reader->unpacked);
  free(reader->writes);
  free(reader);
}

void nx_log_reader_begin_packs(nx_log_reader *reader, uint32_t salt, uint32_t physical_bytes) {
  NX_ASSERT(physical_bytes == 512 || physical_bytes == 4096);
  reader->state.salt = salt;
  reader->state.physical_bytes = physical_bytes;
  reader->state.phase = NX_LOG_PACK_HEADER;
}

void nx_log_reader_in_place(nx_log_reader *reader) { reader->is_in_place = true; }
void nx_log_reader_trust(nx_log_reader *reader) { reader->is_trusting = true; }

nx_log_state *nx_log_reader_state(nx_log_reader *reader) { return &reader->state; }
nx_buffer *nx_log_reader_out(nx_log_reader *reader) { return &reader->out; }

static void fail(nx_log_reader *reader, uint32_t why) {
  reader->state.phase = NX_LOG_FAILED;
  reader->state.failure = why;
  reader->state.failed_lsid = reader->state.lsid;
  reader->state.failed_record = reader->record;
}

static void add_write(nx_log_reader *reader, const nx_diff_record *write) {
  if (reader->count == reader->capacity) {
    reader->capacity = reader->capacity == 0 ? 1024 : reader->capacity * 2;
    reader->writes = realloc(reader->writes, reader->capacity * sizeof *reader->writes);
    NX_ASSERT(reader->writes != NULL);
  }
  reader->writes[reader->count++] = *write;
  reader->state.writes += 1;
  reader->state.normal_writes += write->kind == NX_KIND_NORMAL;
  reader->state.discard_writes += write->kind == NX_KIND_DISCARD;
  uint64_t end = write->address + write->blocks;
  if (end > reader->state.end_blocks) reader->state.end_blocks = end;
}

static nx_diff_record write_of(const nx_log_reader *reader, const nx_wlog_record *record) {
  return (nx_diff_record){.address = record->address,
                          .blocks = record->blocks,
                          .offset = reader->state.out_offset + reader->out.length};
}

static void take_discard(nx_log_reader *reader, const nx_wlog_record *record) {
  nx_diff_record write = write_of(reader, record);
  write.kind = NX_KIND_DISCARD;
  reader->state.discard_blocks += record->blocks;
  add_write(reader, &write);
}

static void take_content(nx_log_reader *reader, const nx_wlog_record *record, const uint8_t *data) {
  uint64_t length = record->blocks * NX_BLOCK_BYTES;
  nx_diff_record write = write_of(reader, record);
  if (nx_is_zero(data, length)) {
    write.kind = NX_KIND_ZERO;
    reader->state.zero_blocks += record->blocks;
  } else if (reader->is_in_place) {
    write.offset = reader->position;
    write.size = (uint32_t)length;
    write.image_blocks = record->blocks;
    write.checksum = record->checksum + (uint32_t)reader->state.salt; /* as with salt 0 */
    reader->state.normal_blocks += record->blocks;
  } else {
    uint64_t size = nx_codec_encode(reader->codec, reader->codec_id, reader->level, data, length, &reader->out);
    if (size == 0) nx_buffer_append(&reader->out, data, length);
    write.codec = size == 0 ? NX_CODEC_NONE : (uint8_t)reader->codec_id;
    write.size = (uint32_t)(size == 0 ? length : size);
    write.image_blocks = record->blocks;
    write.checksum = nx_salted_checksum(reader->out.data + reader->out.length - write.size, write.size, 0);
    reader->state.normal_blocks += record->blocks;
  }
  add_write(reader, &write);
}

static void take_data(nx_log_reader *reader, const nx_wlog_record *record, const uint8_t *data) {
  uint64_t length = record->blocks * NX_BLOCK_BYTES;
  bool is_sound = reader->is_trusting ||
                  nx_salted_checksum(data, length, (uint32_t)reader->state.salt) == record->checksum;
  if (is_sound) take_content(reader, record, data);
  else fail(reader, NX_LOG_BAD_DATA);
}

void nx_log_add_image(nx_log_reader *reader, uint64_t address, const uint8_t *bytes, uint64_t length,
                      uint32_t io_blocks) {
  NX_ASSERT(length % NX_BLOCK_BYTES == 0 && io_blocks != 0 && io_blocks * NX_BLOCK_BYTES <= NX_CODEC_CONTENT_MAX);
  uint64_t blocks = length / NX_BLOCK_BYTES;
  for (uint64_t done = 0; done < blocks; done += io_blocks) {
    nx_wlog_record record = {.address = address + done, .blocks = io_blocks};
    if (blocks - done < io_blocks) record.blocks = (uint32_t)(blocks - done);
    take_content(reader, &record, bytes + done * NX_BLOCK_BYTES);
  }
}

/* Goes on to the next record that has data in the log, or to the next pack. */
static void next_record(nx_log_reader *reader) {
  for (; reader->record < reader->records; reader->record++) {
    nx_wlog_record record;
    nx_wlog_record_read(reader->header, reader->record, (uint32_t)reader->state.physical_bytes, &record);
    if ((record.flags & NX_LOG_PADDING) == 0 && (record.flags & NX_LOG_DISCARD) != 0) take_discard(reader, &record);
    if (record.physical_blocks != 0) {
      reader->state.phase = NX_LOG_DATA;
      return;
    }
  }
  reader->state.lsid += 1 + (uint32_t)(reader->header[6] | reader->header[7] << 8);
  reader->state.phase = NX_LOG_PACK_HEADER;
}

static void take_file_header(nx_log_reader *reader, const uint8_t *bytes) {
  nx_log_state *state = &reader->state;
  nx_wlog_file file;
  bool is_further = state->physical_bytes != 0;
  if (nx_wlog_file_read(bytes, &file) != 0) return fail(reader, NX_LOG_BAD_FILE_HEADER);
  if (is_further) {
    bool is_same = memcmp(file.uuid, state->uuid, 16) == 0 && file.salt == state->salt &&
                   file.physical_bytes == state->physical_bytes;
    if (!is_same) return fail(reader, NX_LOG_OTHER_HISTORY);
    if (file.first_lsid != state->lsid) return fail(reader, NX_LOG_NOT_CONSECUTIVE);
  } else {
    memcpy(state->uuid, file.uuid, 16);
    state->salt = file.salt;
    state->physical_bytes = file.physical_bytes;
    state->first_lsid = state->lsid = file.first_lsid;
  }
  state->phase = NX_LOG_PACK_HEADER;
}

static void take_pack_header(nx_log_reader *reader, const uint8_t *bytes) {
  nx_log_state *state = &reader->state;
  int records = nx_wlog_pack_check(bytes, (uint32_t)state->physical_bytes, (uint32_t)state->salt, state->lsid);
  reader->record = 0;
  if (records < 0) return fail(reader, NX_LOG_BAD_PACK_HEADER);
  if (records == 0) {
    state->phase = NX_LOG_ENDED;
    return;
  }
  if (state->lsid == NX_WLOG_NO_LSID) state->first_lsid = state->lsid = nx_load64(bytes + 8);
  memcpy(reader->header, bytes, state->physical_bytes);
  reader->records = (uint32_t)records;
  state->packs += 1;
  next_record(reader);
}

/* Bytes of the unit that is waited for. */
static uint64_t unit_bytes(const nx_log_reader *reader) {
  const nx_log_state *state = &reader->state;
  if (state->phase == NX_LOG_FILE_HEADER || state->phase == NX_LOG_ENDED) return NX_WLOG_FILE_HEADER_BYTES;
  if (state->phase == NX_LOG_PACK_HEADER) return state->physical_bytes;
  nx_wlog_record record;
  nx_wlog_record_read(reader->header, reader->record, (uint32_t)state->physical_bytes, &record);
  return record.physical_blocks * state->physical_bytes;
}

static void take_unit(nx_log_reader *reader, const uint8_t *bytes) {
  if (reader->state.phase == NX_LOG_FILE_HEADER || reader->state.phase == NX_LOG_ENDED)
    return take_file_header(reader, bytes);
  if (reader->state.phase == NX_LOG_PACK_HEADER) return take_pack_header(reader, bytes);
  nx_wlog_record record;
  nx_wlog_record_read(reader->header, reader->record, (uint32_t)reader->state.physical_bytes, &record);
  if ((record.flags & NX_LOG_PADDING) != 0) reader->state.padding_physical += record.physical_blocks;
  else take_data(reader, &record, bytes);
  if (reader->state.phase == NX_LOG_FAILED) return;
  reader->record += 1;
  next_record(reader);
}

static void feed(nx_log_reader *reader, const uint8_t *bytes, uint64_t length) {
  while (reader->state.phase != NX_LOG_FAILED) {
    uint64_t unit = unit_bytes(reader);
    if (reader->carry.length == 0 && length >= unit) {
      take_unit(reader, bytes);
      reader->position += unit;
      bytes += unit;
      length -= unit;
      continue;
    }
    uint64_t part = unit - reader->carry.length < length ? unit - reader->carry.length : length;
    nx_buffer_append(&reader->carry, bytes, part);
    bytes += part;
    length -= part;
    if (reader->carry.length < unit) return;
    take_unit(reader, reader->carry.data);
    reader->position += unit;
    reader->carry.length = 0;
  }
}

uint32_t nx_log_feed(nx_log_reader *reader, const uint8_t *bytes, uint64_t length, uint64_t snappy_length) {
  NX_ASSERT(snappy_length == 0 || !reader->is_in_place);
  if (snappy_length == 0) {
    feed(reader, bytes, length);
  } else if (snappy_length > NX_CODEC_CONTENT_MAX) {
    fail(reader, NX_LOG_BAD_DATA);
  } else {
    reader->unpacked.length = 0;
    nx_buffer_reserve(&reader->unpacked, snappy_length);
    if (nx_codec_decode(reader->codec, NX_CODEC_SNAPPY, bytes, length, reader->unpacked.data, snappy_length) == 0)
      feed(reader, reader->unpacked.data, snappy_length);
    else fail(reader, NX_LOG_BAD_DATA);
  }
  return (uint32_t)reader->state.phase;
}

typedef struct {
  nx_log_reader *reader;
  uint32_t blocks_max;
  uint64_t count;
} index_writer;

static void put_index(void *context, const nx_diff_record *piece, uint32_t write) {
  (void)write;
  index_writer *writer = context;
  nx_buffer *out = &writer->reader->out;
  nx_buffer_reserve(out, NX_WDIFF_INDEX_BYTES);
  nx_wdiff_index_write(out->data + out->length, piece);
  out->length += NX_WDIFF_INDEX_BYTES;
  writer->count += 1;
}

static void put_pieces(void *context, const nx_diff_record *piece, uint32_t write) {
  index_writer *writer = context;
  if (writer->blocks_max == 0) put_index(writer, piece, write);
  else nx_aligned_pieces(piece, write, writer->blocks_max, put_index, writer);
}

uint64_t nx_log_index(nx_log_reader *reader, uint32_t blocks_max) {
  static const uint8_t zeros[8] = {0};
  nx_buffer *out = &reader->out;
  uint64_t end = reader->state.out_offset + out->length;
  nx_buffer_append(out, zeros, (8 - end % 8) % 8);
  uint64_t index_offset = reader->state.out_offset + out->length;
  index_writer writer = {reader, blocks_max, 0};
  nx_visible_pieces(reader->writes, reader->count, put_pieces, &writer);
  uint8_t trailer[NX_WDIFF_TRAILER_BYTES];
  nx_wdiff_trailer_write(trailer, index_offset, (uint32_t)writer.count, (uint32_t)reader->count);
  nx_buffer_append(out, trailer, sizeof trailer);
  reader->count = 0;
  return writer.count;
}

void nx_run_add(nx_buffer *runs, nx_buffer *data, uint64_t address, uint64_t blocks, uint32_t kind,
                const uint8_t *content) {
  nx_run *last = runs->length == 0 ? NULL : (nx_run *)(void *)(runs->data + runs->length - sizeof *last);
  uint64_t at = data->length;
  if (content != NULL) nx_buffer_append(data, content, blocks * NX_BLOCK_BYTES);
  if (last != NULL && last->kind == kind && last->address + last->blocks == address) {
    last->blocks += blocks;
    return;
  }
  nx_run run = {address, blocks, kind, at};
  nx_buffer_append(runs, &run, sizeof run);
}

typedef struct {
  nx_log_reader *reader;
  nx_buffer *runs, *data;
  bool *is_seen; /* by write */
  uint64_t visible;
} run_writer;

static void put_run(void *context, const nx_diff_record *piece, uint32_t write) {
  run_writer *writer = context;
  const nx_log_reader *reader = writer->reader;
  const uint8_t *content = NULL;
  if (piece->kind == NX_KIND_NORMAL)
    content = reader->out.data + (piece->offset - reader->state.out_offset) + piece->image_start * NX_BLOCK_BYTES;
  nx_run_add(writer->runs, writer->data, piece->address, piece->blocks, piece->kind, content);
  writer->visible += !writer->is_seen[write];
  writer->is_seen[write] = true;
}

uint64_t nx_log_runs(nx_log_reader *reader, nx_buffer *runs, nx_buffer *data) {
  NX_ASSERT(reader->codec_id == NX_CODEC_NONE);
  run_writer writer = {reader, runs, data, calloc(reader->count + 1, sizeof(bool)), 0};
  NX_ASSERT(writer.is_seen != NULL);
  runs->length = data->length = 0;
  nx_visible_pieces(reader->writes, reader->count, put_run, &writer);
  reader->count = 0;
  reader->state.out_offset += reader->out.length;
  reader->out.length = 0;
  free(writer.is_seen);
  return writer.visible;
}

void nx_log_visible(nx_log_reader *reader, nx_piece_taker *take, void *context) {
  nx_visible_pieces(reader->writes, reader->count, take, context);
  reader->count = 0;
}

typedef struct {
  nx_log_state *state;
  nx_buffer *stretches;
  bool *is_seen; /* by write */
  bool discards_too;
} stretch_writer;

static void put_stretch(void *context, const nx_diff_record *piece, uint32_t write) {
  stretch_writer *writer = context;
  writer->state->visible += !writer->is_seen[write];
  writer->state->visible_blocks += piece->blocks;
  writer->is_seen[write] = true;
  if (piece->kind == NX_KIND_DISCARD && !writer->discards_too) return;
  nx_stretch stretch = {.source = piece->kind == NX_KIND_NORMAL ? NX_SOURCE_LOG : NX_SOURCE_ZERO,
                        .from = piece->offset + piece->image_start * NX_BLOCK_BYTES,
                        .length = piece->blocks * NX_BLOCK_BYTES,
                        .to = piece->address * NX_BLOCK_BYTES};
  nx_buffer_append(writer->stretches, &stretch, sizeof stretch);
}

void nx_log_stretches(nx_log_reader *reader, uint32_t discards_too, nx_buffer *stretches) {
  NX_ASSERT(reader->is_in_place);
  stretch_writer writer = {&reader->state, stretches, calloc(reader->count + 1, sizeof(bool)), discards_too != 0};
  NX_ASSERT(writer.is_seen != NULL);
  stretches->length = 0;
  nx_log_visible(reader, put_stretch, &writer);
  free(writer.is_seen);
}
