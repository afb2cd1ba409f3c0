// Pages as they come from another board, into a guest memory and into its digest, in one go: while their bytes are near.
// Written through the memory's file: a page that was never touched is made of them, where a write through a mapping would
// first clear it, after a fault.
//
// Sources: pwrite(2).
#pragma once

#include <cstddef>
#include <cstdint>

#include "digest/memory-digest.h"
#include "memory/guest-memory.h"

namespace twinstep::sync {

// Of a run, before its bytes: first page (32 bits), count (16 bits), 1: bytes follow, 0: zeros (8 bits). Little endian.
inline constexpr size_t kPageRunHeadBytes = 7;

// One run behind the other. An errno, 0: all of them are there; EINVAL: they are no runs of this memory. Where it is not
// 0 the digest is that of no memory any more.
int store_pages(const memory::Mapping& memory, digest::MemoryDigest& digest, const uint8_t* runs, size_t bytes);

}  // namespace twinstep::sync
