/*
 * CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), the checksum of iSCSI (RFC 3720) and of node-x's
 * files.
 *
 * Chains like zlib's crc32: start with 0, pass the result of one piece as `crc` of the next.
 */
#ifndef NX_CRC32C_H
#define NX_CRC32C_H
#include <stdbool.h>
#include <stdint.h>
#include "nx.h"

/* Picks the hardware where the processor has it. */
uint32_t nx_crc32c(uint32_t crc, const void *bytes, uint64_t length);
/* The same for the bytes from `start` up to, not including, `end`. */
NX_API uint32_t nx_crc32c_part(uint32_t crc, const void *bytes, uint64_t start, uint64_t end);

/* Both ways by name, for the tests. The hardware way must not be called unless nx_crc32c_has_hardware. */
bool nx_crc32c_has_hardware(void);
uint32_t nx_crc32c_hardware(uint32_t crc, const void *bytes, uint64_t length);
uint32_t nx_crc32c_software(uint32_t crc, const void *bytes, uint64_t length);

#endif
