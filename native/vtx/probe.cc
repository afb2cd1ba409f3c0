#include "vtx/probe.h"

#include <sys/mman.h>

#include <chrono>
#include <cstring>

#include "softcpu/sys.h"
#include "vtx/engine.h"

namespace twinstep::vtx {

namespace {

using soft::Exit;
using soft::State;

constexpr u64 kRam = 1 << 20;
constexpr u64 kCode = 0x1000, kTables = 0x10000;
// Far below any processor and any emulated VT-x that has been tried (README.md).
constexpr double kSlowPerSecond = 20e6;

// A guest of one page: code in ring 0, 64-bit, over one large identity page.
class Tiny {
 public:
  explicit Tiny(Positions positions) {
    void* at = mmap(nullptr, kRam, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) throw Failure("no memory for a guest");
    ram_ = static_cast<u8*>(at);
    engine_ = std::make_unique<Engine>(ram_, kRam, positions);
  }
  ~Tiny() {
    engine_.reset();
    munmap(ram_, kRam);
  }
  Tiny(const Tiny&) = delete;
  Tiny& operator=(const Tiny&) = delete;

  void start(const std::vector<u8>& code) {
    const u64 pml4 = (kTables + 0x1000) | 3, pdpt = (kTables + 0x2000) | 3, pd = 0x83;
    std::memcpy(ram_ + kTables, &pml4, 8);
    std::memcpy(ram_ + kTables + 0x1000, &pdpt, 8);
    std::memcpy(ram_ + kTables + 0x2000, &pd, 8);
    std::memcpy(ram_ + kCode, code.data(), code.size());
    engine_->reset();
    State s;
    engine_->get_state(s);
    for (auto& each : s.seg) each = {0, 0xffffffff, 0xc093, 16, {}};
    s.seg[soft::CS] = {0, 0xffffffff, 0xa09b, 8, {}};
    s.rip = kCode;
    s.gpr[soft::RSP] = 0x8000;
    s.cr0 = 0x80010033;
    s.cr3 = kTables;
    s.cr4 = 0x620;
    s.efer = soft::EFER_LME | soft::EFER_LMA;
    if (const char* why = engine_->set_state(s)) throw Failure(why);
  }
  Exit run(u64 limit) { return engine_->run(limit).reason; }
  Engine& engine() { return *engine_; }
  State state() {
    State s;
    engine_->get_state(s);
    return s;
  }

 private:
  u8* ram_;
  std::unique_ptr<Engine> engine_;
};

const std::vector<u8> kAdds = {0x48, 0xff, 0xc0, 0x48, 0xff, 0xc0, 0x48, 0xff, 0xc3, 0xf4};
// mov ecx, 50000; dec ecx; jnz; hlt
const std::vector<u8> kLoop = {0xb9, 0x50, 0xc3, 0, 0, 0xff, 0xc9, 0x75, 0xfc, 0xf4};
constexpr double kLoopInstructions = 1e5;
// cmpxchg16b [0x9000]; hlt
const std::vector<u8> kWide = {0x48, 0x0f, 0xc7, 0x0c, 0x25, 0, 0x90, 0, 0, 0xf4};

void steps_are_right() {
  Tiny guest(Positions::Steps);
  guest.start(kAdds);
  for (u64 n = 1; n <= 3; n++) {
    if (guest.run(n) != Exit::Limit) throw Failure("single steps do not end where they should");
  }
  const State s = guest.state();
  if (s.gpr[soft::RAX] != 2 || s.gpr[soft::RBX] != 1 || s.rip != kCode + 9) {
    throw Failure("single steps compute wrong results");
  }
  const Counters& c = guest.engine().counters();
  if (c.hardware_steps > 0) return;
  throw Failure("it takes no single steps (" + std::to_string(c.standing_steps) +
                " stood still, the last exit was " + std::to_string(c.last_other_exit) + ")");
}

double loop_per_second() {
  Tiny guest(Positions::Exits);
  guest.start(kLoop);
  const auto begun = std::chrono::steady_clock::now();
  if (guest.run(100) != Exit::Halt || guest.engine().icount() != 1) {
    throw Failure("a loop and a HLT do not end as they should");
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
  return kLoopInstructions / took.count();
}

bool has_cmpxchg16b() {
  Tiny guest(Positions::Exits);
  guest.start(kWide);
  return guest.run(100) == Exit::Halt && guest.engine().counters().reference_steps == 0;
}

// In millions, with one digit behind the point.
std::string millions(double per_second) {
  const std::string tenths = std::to_string(static_cast<u64>(per_second / 1e5));
  const std::string padded = tenths.size() < 2 ? "0" + tenths : tenths;
  return padded.substr(0, padded.size() - 1) + "." + padded.back();
}

void look(Probe& p) {
  steps_are_right();
  p.words.push_back("single steps are exact");
  const double speed = loop_per_second();
  p.is_usable = true;
  p.words.push_back("ring 0 at " + millions(speed) + " million instructions a second");
  if (speed < kSlowPerSecond) {
    p.is_limited = true;
    p.words.push_back("a limited KVM: this one emulates ring 0 in software");
  }
  if (!has_cmpxchg16b()) {
    p.is_limited = true;
    p.words.push_back("a limited KVM: it lacks CMPXCHG16B");
  }
  u8* none = nullptr;
  const Kvm asked(none, 0, 0, {.exits_for_tsc = true});
  p.tells_tsc = asked.tells_tsc();
  p.tables_follow = asked.tables_follow();
  p.words.push_back(p.tells_tsc ? "RDTSC exits" : "RDTSC does not exit (kernel without our patch)");
  if (p.tables_follow) p.words.push_back("shadow page tables follow the guest's");
}

}  // namespace

Probe probe(bool only_exact) {
  Probe p;
  const OpenedCounter counter = open_branch_counter(kick_signal());
  p.counts_branches = counter.counter != nullptr;
  p.words.push_back(p.counts_branches ? "branches are counted" : counter.why);
  if (only_exact && !p.counts_branches) return p;
  try {
    look(p);
  } catch (const Failure& failure) {
    p.is_usable = false;
    p.words.push_back(failure.what());
  }
  return p;
}

}  // namespace twinstep::vtx
