// See tap.h.
#include "tap/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace twinstep::tap {
namespace {

constexpr const char* kDevice = "/dev/net/tun";
constexpr size_t kHeaderBytes = 14;

Failure device_failure(int error) {
  const std::string device = kDevice;
  if (error == ENOENT || error == ENODEV || error == ENXIO) {
    return {"E_TAP_NO_DEVICE", device + " is missing: load the kernel module tun (modprobe tun)"};
  }
  if (error == EACCES || error == EPERM) {
    return {"E_TAP_PERMISSION", "no permission to open " + device};
  }
  return {"E_TAP_FAILED", "open " + device + ": " + std::strerror(error)};
}

Failure attach_failure(const std::string& name, int error) {
  if (error == EBUSY) {
    return {"E_TAP_BUSY", "TAP interface " + name + " is in use by another program"};
  }
  if (error == EPERM || error == EACCES) {
    return {"E_TAP_PERMISSION", "no permission to use TAP interface " + name +
                                    ": make it with `ip tuntap add dev " + name +
                                    " mode tap user USER`, or run as root"};
  }
  if (error == EINVAL) {
    return {"E_TAP_KIND", name + " is no TAP interface with one queue"};
  }
  return {"E_TAP_FAILED", "attach to " + name + ": " + std::strerror(error)};
}

bool is_name(const std::string& name) {
  if (name.empty() || name.size() >= IFNAMSIZ || name == "." || name == "..") return false;
  return name.find_first_of("/: \t\n%") == std::string::npos &&
         name.find('\0') == std::string::npos;
}

ifreq request_for(const std::string& name) {
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), name.size());
  return request;
}

}  // namespace

std::optional<Tap> Tap::open(const std::string& name, Failure& failure) {
  if (!is_name(name)) {
    failure = {"E_TAP_NAME", "\"" + name + "\" is no name of an interface: 1 to 15 characters"};
    return std::nullopt;
  }
  const int fd = ::open(kDevice, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) {
    failure = device_failure(errno);
    return std::nullopt;
  }
  Tap tap(fd);
  // Attaching to a name nobody has would make a new interface, gone again at the end.
  if (if_nametoindex(name.c_str()) == 0) {
    failure = {"E_TAP_MISSING", "there is no interface " + name + ": make it with `ip tuntap add dev " +
                                    name + " mode tap`"};
    return std::nullopt;
  }
  ifreq request = request_for(name);
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (ioctl(fd, TUNSETIFF, &request) != 0) {
    failure = attach_failure(name, errno);
    return std::nullopt;
  }
  // A persistent interface keeps what its last user switched on.
  if (ioctl(fd, TUNSETOFFLOAD, 0) != 0) {
    failure = {"E_TAP_FAILED", "switch off offloads of " + name + ": " + std::strerror(errno)};
    return std::nullopt;
  }
  return tap;
}

Tap::Tap(Tap&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }

Tap& Tap::operator=(Tap&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Tap::~Tap() {
  if (fd_ >= 0) close(fd_);
}

ReadResult Tap::read(uint8_t* into, size_t capacity) const {
  for (;;) {
    const ssize_t bytes = ::read(fd_, into, capacity);
    if (bytes > 0) return {ReadOutcome::frame, static_cast<size_t>(bytes)};
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes == 0 || errno == EAGAIN) return {ReadOutcome::none, 0};
    return {errno == EBADFD ? ReadOutcome::gone : ReadOutcome::failed, 0};
  }
}

WriteOutcome Tap::write(const uint8_t* frame, size_t bytes) const {
  if (bytes < kHeaderBytes || bytes > kFrameBytesMax) return WriteOutcome::bad_length;
  for (;;) {
    if (::write(fd_, frame, bytes) >= 0) return WriteOutcome::sent;
    switch (errno) {
      case EINTR: continue;
      case EAGAIN:
      case ENOBUFS: return WriteOutcome::full;
      case EIO: return WriteOutcome::down;
      case EINVAL: return WriteOutcome::bad_length;
      case EBADFD: return WriteOutcome::gone;
      default: return WriteOutcome::failed;
    }
  }
}

std::optional<Info> Tap::info(Failure& failure) const {
  ifreq request{};
  if (ioctl(fd_, TUNGETIFF, &request) != 0) {
    failure = {"E_TAP_GONE", "the TAP interface is gone"};
    return std::nullopt;
  }
  Info info{};
  info.name = request.ifr_name;
  const int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const auto ask = [&](unsigned long what) {
    request = request_for(info.name);
    return any >= 0 && ioctl(any, what, &request) == 0;
  };
  bool good = ask(SIOCGIFHWADDR);
  if (good) std::memcpy(info.mac.data(), request.ifr_hwaddr.sa_data, info.mac.size());
  good = good && ask(SIOCGIFMTU);
  if (good) info.mtu_bytes = static_cast<uint32_t>(request.ifr_mtu);
  good = good && ask(SIOCGIFFLAGS);
  if (good) info.is_up = (request.ifr_flags & IFF_UP) != 0;
  if (!good) failure = {"E_TAP_FAILED", "ask about " + info.name + ": " + std::strerror(errno)};
  if (any >= 0) close(any);
  if (!good) return std::nullopt;
  return info;
}

}  // namespace twinstep::tap
