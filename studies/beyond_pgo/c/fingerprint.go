// Package fingerprint tells batches apart by their lines. The work is done in C.
package fingerprint

// #include "fingerprint.h"
import "C"

import "unsafe"

// Of returns a number that is the same for the same lines in any order.
func Of(batch []byte) uint32 {
	return uint32(C.fingerprint((*C.uchar)(unsafe.SliceData(batch)), C.size_t(len(batch))))
}
