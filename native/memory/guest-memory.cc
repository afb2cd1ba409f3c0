// See guest-memory.h. Sources: memfd_create(2), fcntl(2) F_ADD_SEALS, mmap(2), lseek(2) SEEK_DATA, fallocate(2).
#include "memory/guest-memory.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>

namespace twinstep::memory {
namespace {

struct Known {
  std::weak_ptr<const int> file;
  uint64_t bytes;
};

// Process-wide, because worker threads load the addon into environments of their own.
std::mutex registry_mutex;
std::unordered_map<uint64_t, Known> registry;
uint64_t last_token = 0;

constexpr uint64_t kLargeBytes = uint64_t{64} << 20;
// 4096 pages: below a millisecond.
constexpr uint64_t kUnmapBytes = uint64_t{16} << 20;

std::string failure(const char* call) { return std::string(call) + ": " + std::strerror(errno); }

std::shared_ptr<const int> own(int fd) {
  return {new int(fd), [](const int* p) {
            close(*p);
            delete p;
          }};
}

MapResult map(std::shared_ptr<const int> file, uint64_t bytes, uint64_t token) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, *file, 0);
  if (data == MAP_FAILED) return {nullptr, failure("mmap")};
  auto* first = static_cast<uint8_t*>(data);
  return {std::make_shared<Mapping>(first, bytes, token, std::move(file)), {}};
}

}  // namespace

Mapping::Mapping(uint8_t* data, uint64_t bytes, uint64_t token, std::shared_ptr<const int> file)
    : data_(data), bytes_(bytes), token_(token), file_(std::move(file)) {}

// Giving gigabytes back takes long, and whoever lets go may have to decide something: the last one to hold the file
// has all its pages to free. In pieces: nobody in this process gets or gives memory while one is taken away, and whoever
// collects garbage does both.
Mapping::~Mapping() {
  const auto unmap = [data = data_, bytes = bytes_, file = std::move(file_)] {
    for (uint64_t at = 0; at < bytes; at += kUnmapBytes) munmap(data + at, std::min(kUnmapBytes, bytes - at));
  };
  try {
    if (bytes_ >= kLargeBytes) {
      std::thread(unmap).detach();
      return;
    }
  } catch (const std::system_error&) {
    // No thread to be had: here, then.
  }
  unmap();
}

MapResult create(uint64_t bytes) {
  if (bytes == 0 || bytes % kPageBytes != 0 || bytes > kBytesMax) {
    return {nullptr, "guest memory must be a multiple of 4096 bytes between 4096 and " +
                         std::to_string(kBytesMax) + ", not " + std::to_string(bytes)};
  }
  const int fd = memfd_create("twinstep-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return {nullptr, failure("memfd_create")};
  auto file = own(fd);
  if (ftruncate(fd, static_cast<off_t>(bytes)) != 0) return {nullptr, failure("ftruncate")};
  if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return {nullptr, failure("fcntl(F_ADD_SEALS)")};
  }
  uint64_t token;
  {
    std::lock_guard lock(registry_mutex);
    std::erase_if(registry, [](const auto& entry) { return entry.second.file.expired(); });
    token = ++last_token;
    registry.emplace(token, Known{file, bytes});
  }
  return map(std::move(file), bytes, token);
}

MapResult attach(uint64_t token) {
  std::shared_ptr<const int> file;
  uint64_t bytes = 0;
  {
    std::lock_guard lock(registry_mutex);
    const auto found = registry.find(token);
    if (found != registry.end()) {
      file = found->second.file.lock();
      bytes = found->second.bytes;
    }
  }
  if (!file) return {nullptr, "no guest memory has token " + std::to_string(token) + ": all closed"};
  return map(std::move(file), bytes, token);
}

uint64_t Extents::next(uint64_t page) {
  if (page >= asked_ && page < until_) return std::max(page, from_);
  const uint64_t pages = memory_.bytes() / kPageBytes;
  if (page >= pages) return pages;
  asked_ = page;
  const off_t data = lseek(memory_.file(), static_cast<off_t>(page * kPageBytes), SEEK_DATA);
  if (data < 0) {
    // No more of it; a kernel that cannot tell has all of it.
    from_ = errno == ENXIO ? pages : page;
    until_ = pages;
    return from_;
  }
  from_ = static_cast<uint64_t>(data) / kPageBytes;
  const off_t hole = lseek(memory_.file(), data, SEEK_HOLE);
  until_ = hole < 0 ? pages : (static_cast<uint64_t>(hole) + kPageBytes - 1) / kPageBytes;
  return from_;
}

bool clear_pages(const Mapping& memory, uint64_t first, uint64_t count) {
  const auto offset = static_cast<off_t>(first * kPageBytes);
  const auto bytes = static_cast<off_t>(count * kPageBytes);
  constexpr int kMode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  while (fallocate(memory.file(), kMode, offset, bytes) != 0) {
    if (errno != EINTR) return false;
  }
  return true;
}

}  // namespace twinstep::memory
