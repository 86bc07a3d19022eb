/* tcm.h for bun:ffi: slices as address and length. Nothing here keeps an address that was passed in. */
#include "nx.h"
#include "tcm.h"

NX_API uint64_t nx_ffi_tcm_read(nx_tcm_reader *reader, nx_channel *channel, nx_buffer *lines, nx_buffer *notes,
                                const uint8_t *bytes, uint64_t length);
NX_API void nx_ffi_tcm_begin(nx_buffer *tcm);
NX_API int nx_ffi_tcm_dump(nx_store *store, const uint8_t *name, uint32_t name_length, nx_tcm_dumper *dumper,
                           int64_t now_ms, uint64_t bytes_target, nx_buffer *tcm, nx_buffer *side);
NX_API void nx_ffi_tcm_end(nx_buffer *tcm, uint64_t file_bytes);
NX_API int64_t nx_ffi_tcm_side_apply(nx_channel *channel, const uint8_t *bytes, uint64_t length, int64_t now_ms,
                                     bool keep_existing);
NX_API int64_t nx_ffi_tcm_from_lines(nx_tcm_lines *state, const uint8_t *text, uint64_t length, bool is_last,
                                     nx_buffer *tcm);

uint64_t nx_ffi_tcm_read(nx_tcm_reader *reader, nx_channel *channel, nx_buffer *lines, nx_buffer *notes,
                         const uint8_t *bytes, uint64_t length) {
  nx_tcm_sink sink = {channel, lines, notes};
  return nx_tcm_read(reader, &sink, bytes, length);
}

void nx_ffi_tcm_begin(nx_buffer *tcm) { nx_tcm_begin(tcm); }

int nx_ffi_tcm_dump(nx_store *store, const uint8_t *name, uint32_t name_length, nx_tcm_dumper *dumper,
                    int64_t now_ms, uint64_t bytes_target, nx_buffer *tcm, nx_buffer *side) {
  return nx_tcm_dump(store, (nx_slice){name, name_length}, dumper, now_ms, bytes_target, tcm, side);
}

void nx_ffi_tcm_end(nx_buffer *tcm, uint64_t file_bytes) { nx_tcm_end(tcm, file_bytes); }

int64_t nx_ffi_tcm_side_apply(nx_channel *channel, const uint8_t *bytes, uint64_t length, int64_t now_ms,
                              bool keep_existing) {
  return nx_tcm_side_apply(channel, bytes, length, now_ms, keep_existing);
}

int64_t nx_ffi_tcm_from_lines(nx_tcm_lines *state, const uint8_t *text, uint64_t length, bool is_last,
                              nx_buffer *tcm) {
  return nx_tcm_from_lines(state, text, length, is_last, tcm);
}
