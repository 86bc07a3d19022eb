/* Checking and taking apart the headers of wlog.h. */
#include "wlog.h"

#include <errno.h>

#include "../bytes.h"
#include "checksum.h"

#define PACK_TYPE 3u
#define FILE_TYPE 4u
#define VERSION 2u

static uint32_t load16(const uint8_t *from) { return (uint32_t)(from[0] | from[1] << 8); }
static void store16(uint8_t *to, uint32_t value) {
  to[0] = (uint8_t)value;
  to[1] = (uint8_t)(value >> 8);
}

static bool is_physical(uint32_t bytes) { return bytes == 512 || bytes == 4096; }

int nx_wlog_file_read(const uint8_t *bytes, nx_wlog_file *file) {
  if (nx_salted_checksum(bytes, NX_WLOG_FILE_HEADER_BYTES, 0) != 0) return -EBADMSG;
  if (load16(bytes) != FILE_TYPE || load16(bytes + 2) != VERSION || load16(bytes + 4) != NX_WLOG_FILE_HEADER_BYTES)
    return -EBADMSG;
  *file = (nx_wlog_file){.salt = nx_load32(bytes + 12),
                         .physical_bytes = nx_load32(bytes + 20),
                         .first_lsid = nx_load64(bytes + 40),
                         .end_lsid = nx_load64(bytes + 48)};
  memcpy(file->uuid, bytes + 24, sizeof file->uuid);
  return nx_load32(bytes + 16) == 512 && is_physical(file->physical_bytes) && file->end_lsid > file->first_lsid
             ? 0
             : -EBADMSG;
}

void nx_wlog_file_write(uint8_t *out, uint32_t salt, uint32_t physical_bytes, const uint8_t *uuid,
                        uint64_t first_lsid, uint64_t end_lsid) {
  memset(out, 0, NX_WLOG_FILE_HEADER_BYTES);
  store16(out, FILE_TYPE);
  store16(out + 2, VERSION);
  store16(out + 4, NX_WLOG_FILE_HEADER_BYTES);
  nx_store32(out + 12, salt);
  nx_store32(out + 16, 512);
  nx_store32(out + 20, physical_bytes);
  memcpy(out + 24, uuid, 16);
  nx_store64(out + 40, first_lsid);
  nx_store64(out + 48, end_lsid);
  nx_store32(out + 8, nx_salted_checksum(out, NX_WLOG_FILE_HEADER_BYTES, 0));
}

bool nx_wlog_is_end(const uint8_t *header) {
  return load16(header + 16) == 0 && nx_load64(header + 8) == NX_WLOG_NO_LSID;
}

void nx_wlog_record_read(const uint8_t *header, uint32_t index, uint32_t physical_bytes, nx_wlog_record *record) {
  const uint8_t *at = header + NX_WLOG_PACK_HEADER_BYTES + NX_WLOG_RECORD_BYTES * index;
  *record = (nx_wlog_record){.checksum = nx_load32(at),
                             .flags = nx_load32(at + 4),
                             .address = nx_load64(at + 8),
                             .blocks = nx_load32(at + 16),
                             .position = load16(at + 20)};
  uint64_t unit = physical_bytes / 512;
  if ((record->flags & NX_LOG_DISCARD) == 0) record->physical_blocks = (uint32_t)((record->blocks + unit - 1) / unit);
}

int nx_wlog_pack_check(const uint8_t *header, uint32_t physical_bytes, uint32_t salt, uint64_t lsid) {
  if (!is_physical(physical_bytes) || nx_salted_checksum(header, physical_bytes, salt) != 0) return -EBADMSG;
  if (load16(header + 4) != PACK_TYPE) return -EBADMSG;
  if (nx_wlog_is_end(header)) return load16(header + 6) == 0 ? 0 : -EBADMSG;
  uint64_t own = nx_load64(header + 8);
  uint32_t count = load16(header + 16), padding = 0, position = 1;
  if (own == NX_WLOG_NO_LSID || (lsid != NX_WLOG_NO_LSID && own != lsid)) return -EBADMSG;
  if (count == 0 || count > (physical_bytes - NX_WLOG_PACK_HEADER_BYTES) / NX_WLOG_RECORD_BYTES) return -EBADMSG;
  for (uint32_t index = 0; index < count; index++) {
    nx_wlog_record record;
    nx_wlog_record_read(header, index, physical_bytes, &record);
    const uint8_t *at = header + NX_WLOG_PACK_HEADER_BYTES + NX_WLOG_RECORD_BYTES * index;
    bool is_padding = (record.flags & NX_LOG_PADDING) != 0;
    if ((record.flags & NX_LOG_EXISTS) == 0 || record.position != (position & 0xffff)) return -EBADMSG;
    if (nx_load64(at + 24) != own + record.position) return -EBADMSG;
    if ((record.flags & NX_LOG_DISCARD) == 0 && record.blocks > NX_WLOG_IO_BLOCKS_MAX) return -EBADMSG;
    if (!is_padding && (record.blocks == 0 || record.address > UINT64_MAX / 512 - record.blocks)) return -EBADMSG;
    padding += is_padding;
    position += record.physical_blocks;
  }
  bool is_whole = position - 1 == load16(header + 6) && padding == load16(header + 18) && padding <= 1;
  return is_whole ? (int)count : -EBADMSG;
}
