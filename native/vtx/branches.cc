// By perf_event_open: one event for the vCPU's thread, raw "conditional branches retired", counted
// while the guest runs only. exclude_kernel must stay off: the filter follows the guest's privilege,
// and a guest kernel runs in ring 0.
#include "vtx/branches.h"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cpuid.h>
#include <cstring>

#include "vtx/kvm.h"

namespace twinstep::vtx {

namespace {

struct Model {
  const char* name;
  uint64_t event;
  uint64_t skid;
};

struct Processor {
  bool intel, amd;
  unsigned family, model;
};

Processor processor() {
  unsigned a, b, c, d;
  __cpuid(0, a, b, c, d);
  const bool intel = b == 0x756e6547, amd = b == 0x68747541 || b == 0x6f677948;
  __cpuid(1, a, b, c, d);
  unsigned family = a >> 8 & 15, model = a >> 4 & 15;
  if (family == 6 || family == 15) model |= a >> 12 & 0xf0;
  if (family == 15) family += a >> 20 & 0xff;
  return {intel, amd, family, model};
}

// Intel SDM vol. 3B, performance events of each model; AMD PPR of Zen. Atoms count it elsewhere.
bool model_of(const Processor& p, Model& out) {
  if (p.amd && p.family >= 0x17) {
    // Conditional branches retired; the alarm of these processors has no known bound on its delay.
    out = {"AMD Zen", 0x5100d1, 10000};
    return true;
  }
  if (!p.intel || p.family != 6) return false;
  switch (p.model) {
    case 0x37: case 0x4a: case 0x4c: case 0x4d: case 0x5c: case 0x5f: case 0x7a: case 0x86:
    case 0x8a: case 0x96: case 0x9c: case 0xbe: case 0xaf: case 0xb6:
      out = {"Intel Atom", 0x517ec4, 100};
      return true;
    case 0x6a: case 0x6c: case 0x7d: case 0x7e: case 0x8c: case 0x8d: case 0xa7:
      out = {"Intel, Ice Lake to Rocket Lake", 0x5111c4, 100};
      return true;
    case 0x8f: case 0x97: case 0x9a: case 0xaa: case 0xad: case 0xae: case 0xb7: case 0xba:
    case 0xbf: case 0xcf:
      out = {"Intel, Alder Lake to Emerald Rapids", 0x5111c4, 125};
      return true;
    default:
      out = {"Intel, before Ice Lake", 0x5101c4, 100};
      return p.model >= 0x1a && p.model < 0xa8;
  }
}

std::string words(const char* what, int error) {
  return std::string(what) + ": " + std::strerror(error);
}

class PerfCounter : public BranchCounter {
 public:
  PerfCounter(int fd, uint64_t skid) : fd_(fd), skid_(skid) {}
  ~PerfCounter() override { close(fd_); }
  uint64_t count() override {
    uint64_t value = 0;
    // A pinned event that lost its counter reads as end of file.
    if (read(fd_, &value, sizeof value) == sizeof value) return value;
    throw Failure("the host counts branches no more");
  }
  bool alarm_after(uint64_t branches) override { return has_period(branches); }
  void no_alarm() override {
    if (!has_period(uint64_t{1} << 62)) throw Failure(words("the branch counter keeps its alarm", errno));
  }
  uint64_t skid() const override { return skid_; }

 private:
  // Linux refuses what its processor cannot do, and then leaves the period as it was.
  bool has_period(uint64_t branches) { return ioctl(fd_, PERF_EVENT_IOC_PERIOD, &branches) == 0; }
  int fd_;
  uint64_t skid_;
};

class SteppedCounter : public BranchCounter {
 public:
  SteppedCounter(uint64_t skid, uint64_t seed) : skid_(skid), random_(seed | 1) {}
  uint64_t count() override { return count_; }
  bool alarm_after(uint64_t branches) override {
    random_ = random_ * 6364136223846793005u + 1442695040888963407u;
    alarm_ = count_ + branches + (random_ >> 33) % (skid_ + 1);
    return true;
  }
  void no_alarm() override { alarm_ = ~uint64_t{0}; }
  uint64_t skid() const override { return skid_; }
  bool is_stepped() const override { return true; }
  void stepped(bool was_branch) override { count_ += was_branch; }
  bool rings() override { return count_ >= alarm_; }

 private:
  uint64_t skid_, random_, count_ = 0, alarm_ = ~uint64_t{0};
};

}  // namespace

std::unique_ptr<BranchCounter> make_stepped_counter(uint64_t skid, uint64_t seed) {
  return std::make_unique<SteppedCounter>(skid, seed);
}

OpenedCounter open_branch_counter(int signal) {
  Model model;
  if (!model_of(processor(), model)) return {nullptr, "no known branch counter in this processor"};
  perf_event_attr attr{};
  attr.size = sizeof attr;
  attr.type = PERF_TYPE_RAW;
  attr.config = model.event;
  attr.pinned = 1;
  attr.exclude_host = 1;
  attr.sample_period = uint64_t{1} << 62;
  attr.wakeup_events = 1;
  const auto fd = static_cast<int>(
      syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
  if (fd < 0) {
    const std::string why = words("the host counts no branches for a guest", errno);
    return {nullptr, std::string(model.name) + ", " + why};
  }
  auto counter = std::make_unique<PerfCounter>(fd, model.skid);
  f_owner_ex owner{F_OWNER_TID, static_cast<int>(syscall(SYS_gettid))};
  if (fcntl(fd, F_SETOWN_EX, &owner) != 0 || fcntl(fd, F_SETSIG, signal) != 0 ||
      fcntl(fd, F_SETFL, O_ASYNC) != 0 || ioctl(fd, PERF_EVENT_IOC_ENABLE, 0) != 0) {
    return {nullptr, words("the branch counter has no alarm", errno)};
  }
  return {std::move(counter), ""};
}

}  // namespace twinstep::vtx
