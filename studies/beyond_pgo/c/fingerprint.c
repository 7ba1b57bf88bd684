#include "fingerprint.h"

#define HASHES 8

static const uint32_t primes[HASHES] = {
    16777619u, 2654435761u, 2246822519u, 3266489917u, 668265263u, 374761393u, 73244475u, 2146121005u,
};

uint32_t fingerprint(const unsigned char *batch, size_t size) {
    uint32_t hashes[HASHES] = {0}, all = 0;
    for (size_t i = 0; i < size; i++) {
        if (batch[i] == '\n') {
            for (int h = 0; h < HASHES; h++) {
                all ^= hashes[h];
                hashes[h] = 0;
            }
            continue;
        }
        uint32_t next = batch[i] + 256 * kind_of(batch[i]);
        for (int h = 0; h < HASHES; h++) hashes[h] = (hashes[h] ^ next) * primes[h];
    }
    return all;
}
