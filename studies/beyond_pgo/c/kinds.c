#include "fingerprint.h"

// In a file of its own: only optimisation at link time can inline it.
unsigned kind_of(unsigned char c) {
    if (c >= '0' && c <= '9') return 1;
    if (c >= 'a' && c <= 'z') return 2;
    if (c >= 'A' && c <= 'Z') return 2;
    return c == '"' || c == '{' || c == '}' ? 3 : 4;
}
