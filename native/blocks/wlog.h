/*
 * Log packs: the unit of log files, log devices and of a log on its way to a proxy.
 *
 * A pack is a header of one physical block (512 or 4096 bytes) and the data of its records, each padded to whole
 * physical blocks. lsid numbers count physical blocks, addresses and sizes of records count 512 bytes.
 *
 *   offset  bytes  header
 *        0      4  checksum of the block, salt of the log
 *        4      2  type = 3
 *        6      2  physical blocks of data that follow
 *        8      8  lsid of this header
 *       16      2  records          18  2  padding records among them
 *       24   32 each  records: checksum of the data u32, flags u32 (1 exists, 2 padding, 4 discard), address u64,
 *                     size u32, position of the data in the pack u16, 0 u16, lsid of the data u64
 *
 * A log file begins with 4096 bytes: type = 4 u16, version = 2 u16, 4096 u16, 0 u16, checksum u32 (salt 0), salt u32,
 * 512 u32, physical block u32, uuid[16], first lsid u64, end lsid u64. It ends with a header that has no records and
 * the lsid 2^64-1.
 */
#ifndef NX_BLOCKS_WLOG_H
#define NX_BLOCKS_WLOG_H
#include <stdbool.h>
#include <stdint.h>

#include "../nx.h"

#define NX_WLOG_FILE_HEADER_BYTES 4096u
#define NX_WLOG_PACK_HEADER_BYTES 24u
#define NX_WLOG_RECORD_BYTES 32u
#define NX_WLOG_IO_BLOCKS_MAX 65535u
#define NX_WLOG_NO_LSID UINT64_MAX

enum { NX_LOG_EXISTS = 1, NX_LOG_PADDING = 2, NX_LOG_DISCARD = 4 };

typedef struct {
  uint32_t salt, physical_bytes;
  uint64_t first_lsid, end_lsid;
  uint8_t uuid[16];
} nx_wlog_file;

typedef struct {
  uint32_t checksum, flags, blocks, position;
  uint64_t address;
  /* Physical blocks of data in the log: 0 for a discard. */
  uint32_t physical_blocks;
} nx_wlog_record;

/* 0, or -EBADMSG. */
int nx_wlog_file_read(const uint8_t *bytes, nx_wlog_file *file);
NX_API void nx_wlog_file_write(uint8_t *out, uint32_t salt, uint32_t physical_bytes, const uint8_t *uuid,
                               uint64_t first_lsid, uint64_t end_lsid);

/* Records of a pack whose header is sound, -EBADMSG otherwise. `lsid` is the one that is expected; NX_WLOG_NO_LSID
 * takes any. The end mark has no records. */
NX_API int nx_wlog_pack_check(const uint8_t *header, uint32_t physical_bytes, uint32_t salt, uint64_t lsid);
bool nx_wlog_is_end(const uint8_t *header);
void nx_wlog_record_read(const uint8_t *header, uint32_t index, uint32_t physical_bytes, nx_wlog_record *record);

#endif
