// Two mappings of one memfd.
#include "translate-memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace twinstep::soft::translate {

namespace {
constexpr size_t kCodeBytes = CodeMemory::kHotBytes + CodeMemory::kColdBytes;
constexpr size_t kAllBytes = kCodeBytes + CodeMemory::kSlotBytes;

u8* mapped(void* p) { return p == MAP_FAILED ? nullptr : static_cast<u8*>(p); }
}  // namespace

CodeMemory::CodeMemory() {
  fd_ = memfd_create("twinstep-code", MFD_CLOEXEC);
  if (fd_ < 0 || ftruncate(fd_, kCodeBytes) != 0) {
    why_not_ = "no memfd for translated code";
    return;
  }
  written_ = mapped(mmap(nullptr, kCodeBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0));
  runs_ = mapped(mmap(nullptr, kAllBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (written_ == nullptr || runs_ == nullptr) {
    why_not_ = "no address space for translated code";
    return;
  }
  void* over = mmap(runs_, kCodeBytes, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, fd_, 0);
  if (over == MAP_FAILED) why_not_ = "this host refuses executable memory";
}

CodeMemory::~CodeMemory() {
  if (runs_ != nullptr) munmap(runs_, kAllBytes);
  if (written_ != nullptr) munmap(written_, kCodeBytes);
  if (fd_ >= 0) close(fd_);
}

void CodeMemory::clear() {
  // A file system that cannot punch holes keeps the pages: they are written over.
  if (fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kCodeBytes) != 0) return;
  madvise(slots(), kSlotBytes, MADV_DONTNEED);
}

}  // namespace twinstep::soft::translate
