/* What tcm.c and tcm-lines.c share: one record as text and as bytes. */
#ifndef NX_TCM_LINES_H
#define NX_TCM_LINES_H
#include "store.h"

/* A key of 16 hex digits of either case. */
bool nx_tcm_key(const uint8_t *text, uint64_t *key);
/* Sixteen lower-case hex digits. */
void nx_tcm_hex(uint64_t key, uint8_t *to);
/* One record of a `.tcm`. */
void nx_tcm_record_append(nx_buffer *tcm, uint64_t key, nx_slice value);
/* `<16 hex>:<base64>` and a line feed. */
void nx_tcm_line_append(nx_buffer *lines, uint64_t key, nx_slice value);

#endif
