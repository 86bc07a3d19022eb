/*
 * Records as lines of JSON: `{"time":<key>,"value":"<text>"}`, or `{"time":<key>,"base64":"<bytes>"}` where the bytes
 * are not UTF-8, so that every record comes back as it was.
 */
#ifndef NX_LOGFILES_LINES_H
#define NX_LOGFILES_LINES_H
#include "buffer.h"

void nx_line_append(nx_buffer *to, uint64_t key, const uint8_t *value, uint64_t length);

#endif
