#include <stddef.h>
#include <stdint.h>

// The kind of a character, for fingerprint.
unsigned kind_of(unsigned char c);

// A number that tells sets of lines apart, whatever their order.
uint32_t fingerprint(const unsigned char *batch, size_t size);
