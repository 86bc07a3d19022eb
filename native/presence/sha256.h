/*
 * SHA-256 (FIPS 180-4) of messages that fit one block, for placing records by public ids a million at a time. With the
 * SHA extensions where the CPU has them. Everything else that is hashed here goes through the platform's library.
 */
#ifndef NX_PRESENCE_SHA256_H
#define NX_PRESENCE_SHA256_H
#include <stdbool.h>
#include <stdint.h>

#define NX_SHA256_SHORT_MAX 55u

/* The first 20 bytes of the digest are what placing needs; all 32 are written. */
void nx_sha256_short(const uint8_t *message, uint32_t length, uint8_t digest[32]);

/* The two ways, for tests. */
bool nx_sha256_has_hardware(void);
void nx_sha256_short_software(const uint8_t *message, uint32_t length, uint8_t digest[32]);
void nx_sha256_short_hardware(const uint8_t *message, uint32_t length, uint8_t digest[32]);

#endif
