/* Framing of ship.h. A number is one byte when that byte, read as signed, is the number; else a mark and the shortest
 * of 1, 2 or 4 bytes (src/backup/wire/serial.ts). */
#include "ship.h"

#include <errno.h>

#include "../blocks/checksum.h"
#include "../blocks/wlog.h"
#include "../bytes.h"

enum { NEXT = 0 };

/* A number of up to 32 bits as a u64 of the serializer. */
static void put_number(nx_buffer *out, uint32_t value) {
  uint8_t bytes[5];
  uint32_t length = 1;
  if (value < 0x80) {
    bytes[0] = (uint8_t)value;
  } else {
    bytes[0] = value < 0x100 ? 0x80 : value < 0x10000 ? 0x81 : 0x82;
    nx_store32(bytes + 1, value);
    length = value < 0x100 ? 2 : value < 0x10000 ? 3 : 5;
  }
  nx_buffer_append(out, bytes, length);
}

/* A u32 of the serializer, where 0xffffff80 to 0xffffffff are one byte too. */
static void put_checksum(nx_buffer *out, uint32_t value) {
  if (value >= 0xffff8000u) {
    uint8_t byte = (uint8_t)value;
    uint8_t marked[3] = {0x84, byte, 0};
    if (value >= 0xffffff88u) {
      nx_buffer_append(out, &byte, 1);
    } else if (value >= 0xffffff80u) {
      nx_buffer_append(out, marked, 2);
    } else {
      marked[0] = 0x85;
      marked[2] = (uint8_t)(value >> 8);
      nx_buffer_append(out, marked, 3);
    }
    return;
  }
  put_number(out, value);
}

/* next, stored size (0: raw), size, bytes. */
static void put_chunk(nx_codec *codec, const uint8_t *bytes, uint32_t length, nx_buffer *out, nx_buffer *scratch) {
  uint8_t next = NEXT;
  nx_buffer_append(out, &next, 1);
  scratch->length = 0;
  uint64_t stored = nx_codec_encode(codec, NX_CODEC_SNAPPY, 0, bytes, length, scratch);
  put_number(out, (uint32_t)stored);
  put_number(out, length);
  if (stored == 0) nx_buffer_append(out, bytes, length);
  else nx_buffer_append(out, scratch->data, stored);
}

int64_t nx_ship_packs(nx_codec *codec, uint32_t physical_bytes, uint32_t salt, uint64_t lsid, const uint8_t *bytes,
                      uint64_t length, nx_buffer *out) {
  nx_buffer scratch = {0};
  uint64_t at = 0;
  int64_t result = 0;
  while (length - at >= physical_bytes) {
    const uint8_t *header = bytes + at;
    int records = nx_wlog_pack_check(header, physical_bytes, salt, lsid);
    if (records <= 0) {
      result = -EBADMSG;
      break;
    }
    uint64_t total = (uint64_t)(header[6] | header[7] << 8);
    if (length - at < (1 + total) * physical_bytes) break;
    put_chunk(codec, header, physical_bytes, out, &scratch);
    for (uint32_t index = 0; index < (uint32_t)records; index++) {
      nx_wlog_record record;
      nx_wlog_record_read(header, index, physical_bytes, &record);
      if (record.physical_blocks == 0 || record.position + (uint64_t)record.physical_blocks > 1 + total) continue;
      put_chunk(codec, header + (uint64_t)record.position * physical_bytes, record.physical_blocks * physical_bytes, out,
                &scratch);
    }
    at += (1 + total) * physical_bytes;
    lsid += 1 + total;
  }
  nx_buffer_free(&scratch);
  return result < 0 ? result : (int64_t)at;
}

void nx_ship_bulks(nx_codec *codec, uint32_t id, uint32_t level, uint64_t bulk_bytes, const uint8_t *bytes,
                   uint64_t length, nx_buffer *out) {
  nx_buffer scratch = {0};
  for (uint64_t at = 0; at < length; at += bulk_bytes) {
    uint64_t size = length - at < bulk_bytes ? length - at : bulk_bytes;
    if (nx_is_zero(bytes + at, size)) {
      put_number(out, 0);
      continue;
    }
    const uint8_t *stored = bytes + at;
    if (id != NX_CODEC_NONE) {
      scratch.length = 0;
      size = nx_codec_encode_always(codec, id, level, bytes + at, size, &scratch);
      stored = scratch.data;
    }
    put_number(out, (uint32_t)size);
    put_checksum(out, nx_salted_checksum(stored, size, 0));
    nx_buffer_append(out, stored, size);
  }
  nx_buffer_free(&scratch);
}
