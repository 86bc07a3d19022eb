/*
 * Fuzz target of the requests of NBD clients: the first byte says how the export is, the second in what pieces the rest
 * comes. Whole and in pieces must give the same requests and the same answers, and a volume that is fed with them must
 * write a log that its reader finds sound.
 *
 *   clang -std=c11 -g -O1 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -Inative native/fuzz/nbd.c \
 *     native/{nbd,volume,blocks}/*.c native/{buffer,nx}.c -lz -llzma -llz4 -lsnappy -lzstd
 *
 * With -DNX_FUZZ_FILES it has a main of its own that runs the files named on the command line (any compiler).
 */
#include <stdlib.h>
#include <string.h>

#include "../blocks/log-reader.h"
#include "../nbd/transmission.h"
#include "../volume/volume.h"

#define EXPORT_BYTES (UINT64_C(1) << 20)
#define RING 128u

static void compare(nx_buffer *one, nx_buffer *other) {
  NX_ASSERT(one->length == other->length);
  NX_ASSERT(one->length == 0 || memcmp(one->data, other->data, one->length) == 0);
}

static void feed_volume(const uint8_t *bytes, uint64_t length) {
  nx_volume *volume = nx_volume_new(512, 1, RING, 4096, 0);
  nx_volume_state *state = nx_volume_state_of(volume);
  nx_nbd *nbd = nx_nbd_new(1, EXPORT_BYTES, 65536, 512, false, false, false);
  nx_log_reader *reader = nx_log_reader_new(NX_CODEC_SNAPPY, 0, 32);
  nx_log_reader_begin_packs(reader, 1, 512);
  nx_volume_set_limit(volume, RING);
  nx_volume_feed(volume, nbd, bytes, length);
  for (uint32_t rounds = 0; rounds < 64; rounds++) {
    for (int batch; (batch = nx_volume_take(volume)) >= 0;) {
      NX_ASSERT(nx_log_feed(reader, (const uint8_t *)(uintptr_t)state->batch_address, state->batch_length, 0) ==
                NX_LOG_PACK_HEADER);
      nx_volume_written(volume, (uint32_t)batch);
    }
    uint64_t lsid = state->written;
    nx_volume_durable(volume, lsid);
    nx_volume_collect(volume, lsid, 4096);
    nx_volume_applied(volume, lsid);
    nx_volume_set_limit(volume, lsid + RING);
    if (state->held == 0 && state->waiting_bytes == 0) break;
  }
  nx_nbd_close(nbd);
  nx_volume_free(volume);
  nx_log_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 3) return 0;
  bool is_structured = (data[0] & 1) != 0, is_read_only = (data[0] & 2) != 0;
  uint64_t piece = 1 + data[1], length = size - 2;
  const uint8_t *rest = data + 2;
  nx_nbd *whole = nx_nbd_new(1, EXPORT_BYTES, 65536, 512, is_structured, is_structured, is_read_only);
  nx_nbd *parts = nx_nbd_new(2, EXPORT_BYTES, 65536, 512, is_structured, is_structured, is_read_only);
  uint32_t ended = nx_nbd_feed(whole, rest, length), parts_ended = NX_NBD_GOOD;
  for (uint64_t at = 0; at < length && parts_ended == NX_NBD_GOOD; at += piece) {
    uint64_t count = length - at < piece ? length - at : piece;
    uint8_t *copy = malloc(count);
    NX_ASSERT(copy != NULL);
    memcpy(copy, rest + at, count);
    parts_ended = nx_nbd_feed(parts, copy, count);
    free(copy);
  }
  NX_ASSERT(ended == parts_ended);
  compare(nx_nbd_queue(whole), nx_nbd_queue(parts));
  compare(nx_nbd_payload(whole), nx_nbd_payload(parts));
  compare(nx_nbd_out(whole), nx_nbd_out(parts));
  nx_nbd_close(whole);
  nx_nbd_close(parts);
  feed_volume(rest, length);
  return 0;
}

#ifdef NX_FUZZ_FILES
#include "files.h"
#endif
