/* Reading and writing the structs of wdiff.h. Every length is checked before anyone uses it. */
#include "wdiff.h"

#include <errno.h>

#include "../bytes.h"
#include "checksum.h"

#define VERSION 2u
#define PACK_RECORDS 16u
#define RECORD_BYTES 32u

static uint16_t load16(const uint8_t *from) { return (uint16_t)(from[0] | from[1] << 8); }
static void store16(uint8_t *to, uint32_t value) {
  to[0] = (uint8_t)value;
  to[1] = (uint8_t)(value >> 8);
}

void nx_wdiff_header_write(uint8_t *out, uint32_t type, const uint8_t *uuid) {
  memset(out, 0, NX_WDIFF_HEADER_BYTES);
  store16(out + 4, VERSION);
  out[6] = (uint8_t)type;
  memcpy(out + 16, uuid, 16);
  nx_store32(out, nx_salted_checksum(out, NX_WDIFF_HEADER_BYTES, 0));
}

int nx_wdiff_header_read(const uint8_t *bytes) {
  bool is_good = nx_salted_checksum(bytes, NX_WDIFF_HEADER_BYTES, 0) == 0 && load16(bytes + 4) == VERSION;
  return is_good && bytes[6] <= NX_WDIFF_INDEXED ? bytes[6] : -EBADMSG;
}

/* Whether kind, codec, lengths and the stored size can be those of one record. */
static bool is_sound(const nx_diff_record *record) {
  if (record->blocks == 0 || record->address > UINT64_MAX / NX_BLOCK_BYTES - record->blocks) return false;
  if (record->kind != NX_KIND_NORMAL)
    return (record->kind == NX_KIND_ZERO || record->kind == NX_KIND_DISCARD) && record->size == 0;
  uint64_t content = record->image_blocks * NX_BLOCK_BYTES;
  return record->codec < NX_CODEC_COUNT && content <= NX_CODEC_CONTENT_MAX &&
         record->image_start <= record->image_blocks && record->blocks <= record->image_blocks - record->image_start &&
         record->size != 0 && (record->codec != NX_CODEC_NONE || record->size == content);
}

void nx_wdiff_pack_record(const uint8_t *header, uint32_t index, uint64_t data_offset, nx_diff_record *record) {
  const uint8_t *at = header + PACK_RECORDS + RECORD_BYTES * index;
  *record = (nx_diff_record){
      .address = nx_load64(at),
      .blocks = nx_load32(at + 8),
      .kind = at[12] & (NX_KIND_ZERO | NX_KIND_DISCARD),
      .codec = at[13],
      .offset = data_offset + nx_load32(at + 16),
      .size = nx_load32(at + 20),
      .checksum = nx_load32(at + 24),
      .image_blocks = nx_load32(at + 8),
  };
}

int nx_wdiff_pack_read(const uint8_t *header, uint64_t floor, nx_wdiff_pack *pack) {
  if (nx_salted_checksum(header, NX_WDIFF_PACK_BYTES, 0) != 0) return -EBADMSG;
  *pack = (nx_wdiff_pack){load16(header + 4), header[6] & 1, nx_load32(header + 8)};
  if (pack->records > NX_WDIFF_PACK_RECORDS_MAX) return -EBADMSG;
  if (pack->is_end) return pack->records == 0 && pack->data_bytes == 0 ? 0 : -EBADMSG;
  uint64_t data = 0;
  for (uint32_t index = 0; index < pack->records; index++) {
    nx_diff_record record;
    nx_wdiff_pack_record(header, index, 0, &record);
    if (!is_sound(&record) || record.address < floor) return -EBADMSG;
    if (record.size != 0 && record.offset != data) return -EBADMSG;
    data += record.size;
    floor = record.address + record.blocks;
  }
  return data == pack->data_bytes ? 0 : -EBADMSG;
}

int64_t nx_wdiff_pack_verify(const uint8_t *bytes, uint64_t length, uint64_t floor, uint64_t end_blocks) {
  nx_wdiff_pack pack;
  if (length < NX_WDIFF_PACK_BYTES || nx_wdiff_pack_read(bytes, floor, &pack) != 0 || pack.is_end) return -EBADMSG;
  if (pack.data_bytes != length - NX_WDIFF_PACK_BYTES) return -EBADMSG;
  for (uint32_t index = 0; index < pack.records; index++) {
    nx_diff_record record;
    nx_wdiff_pack_record(bytes, index, NX_WDIFF_PACK_BYTES, &record);
    if (nx_salted_checksum(bytes + record.offset, record.size, 0) != record.checksum) return -EBADMSG;
    floor = record.address + record.blocks;
  }
  return floor <= end_blocks && floor <= INT64_MAX ? (int64_t)floor : -EBADMSG;
}

void nx_wdiff_index_write(uint8_t *out, const nx_diff_record *record) {
  memset(out, 0, NX_WDIFF_INDEX_BYTES);
  nx_store64(out, record->address);
  nx_store32(out + 8, record->blocks);
  out[12] = record->kind;
  out[13] = record->codec;
  nx_store64(out + 16, record->offset);
  nx_store32(out + 24, record->size);
  nx_store32(out + 28, record->image_start);
  nx_store32(out + 32, record->image_blocks);
  nx_store32(out + 40, record->checksum);
  nx_store32(out + 44, nx_salted_checksum(out, NX_WDIFF_INDEX_BYTES, 0));
}

int nx_wdiff_index_read(const uint8_t *bytes, nx_diff_record *record) {
  if (nx_salted_checksum(bytes, NX_WDIFF_INDEX_BYTES, 0) != 0) return -EBADMSG;
  *record = (nx_diff_record){
      .address = nx_load64(bytes),
      .blocks = nx_load32(bytes + 8),
      .kind = bytes[12] & (NX_KIND_ZERO | NX_KIND_DISCARD),
      .codec = bytes[13],
      .offset = nx_load64(bytes + 16),
      .size = nx_load32(bytes + 24),
      .image_start = nx_load32(bytes + 28),
      .image_blocks = nx_load32(bytes + 32),
      .checksum = nx_load32(bytes + 40),
  };
  return is_sound(record) ? 0 : -EBADMSG;
}

void nx_wdiff_trailer_write(uint8_t *out, uint64_t index_offset, uint32_t records, uint32_t writes) {
  memset(out, 0, NX_WDIFF_TRAILER_BYTES);
  nx_store64(out, index_offset);
  nx_store32(out + 8, records);
  nx_store32(out + 12, writes);
  nx_store32(out + 20, nx_salted_checksum(out, NX_WDIFF_TRAILER_BYTES, 0));
}

int nx_wdiff_trailer_read(const uint8_t *bytes, uint64_t *index_offset, uint64_t *records) {
  if (nx_salted_checksum(bytes, NX_WDIFF_TRAILER_BYTES, 0) != 0) return -EBADMSG;
  *index_offset = nx_load64(bytes);
  *records = nx_load32(bytes + 8);
  return *index_offset >= NX_WDIFF_HEADER_BYTES ? 0 : -EBADMSG;
}

bool nx_pack_has_room(const nx_pack_writer *writer, uint64_t size) {
  if (writer->records == 0) return true;
  return writer->records < NX_WDIFF_PACK_RECORDS_MAX && writer->data_bytes + size <= NX_WDIFF_PACK_DATA_MAX;
}

void nx_pack_add(nx_pack_writer *writer, nx_buffer *out, const nx_diff_record *record, const uint8_t *stored) {
  NX_ASSERT(nx_pack_has_room(writer, record->size) && record->size <= NX_CODEC_CONTENT_MAX);
  nx_buffer_reserve(out, NX_WDIFF_PACK_BYTES + record->size);
  if (writer->records == 0) {
    *writer = (nx_pack_writer){.start = out->length};
    memset(out->data + out->length, 0, NX_WDIFF_PACK_BYTES);
    out->length += NX_WDIFF_PACK_BYTES;
  }
  uint8_t *at = out->data + writer->start + PACK_RECORDS + RECORD_BYTES * writer->records;
  nx_store64(at, record->address);
  nx_store32(at + 8, record->blocks);
  at[12] = record->kind;
  at[13] = record->codec;
  nx_store32(at + 16, (uint32_t)writer->data_bytes);
  nx_store32(at + 20, record->size);
  nx_store32(at + 24, record->checksum);
  nx_buffer_append(out, stored, record->size);
  writer->data_bytes += record->size;
  writer->records += 1;
}

void nx_pack_close(nx_pack_writer *writer, nx_buffer *out) {
  if (writer->records == 0) return;
  uint8_t *header = out->data + writer->start;
  store16(header + 4, writer->records);
  nx_store32(header + 8, (uint32_t)writer->data_bytes);
  nx_store32(header, nx_salted_checksum(header, NX_WDIFF_PACK_BYTES, 0));
  writer->records = 0;
}

void nx_pack_end(nx_buffer *out) {
  nx_buffer_reserve(out, NX_WDIFF_PACK_BYTES);
  uint8_t *header = out->data + out->length;
  memset(header, 0, NX_WDIFF_PACK_BYTES);
  header[6] = 1;
  nx_store32(header, nx_salted_checksum(header, NX_WDIFF_PACK_BYTES, 0));
  out->length += NX_WDIFF_PACK_BYTES;
}
