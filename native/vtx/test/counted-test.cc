// Positions by counted branches on a KVM without a counter: the engine runs with counters that do what a
// processor or its kernel may do, and what the one made of steps never does.
//
//     counted-test NAME      says why and ends with 1 where it finds something wrong
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "softcpu/sys.h"
#include "vtx/branches.h"
#include "vtx/engine.h"

namespace {

using namespace twinstep;
using soft::Exit;
using soft::State;
using soft::u64;
using soft::u8;
using vtx::BranchCounter;
using vtx::Landing;

constexpr u64 kRam = 1 << 20, kCode = 0x1000;

// Counts its branches as landing-test.cc's guest does.
const std::vector<u8> kBranches = {
    0x8d, 0x84, 0x80, 0x39, 0x30, 0,    0,    0xa9, 0,    0, 1,    0, 0x74, 2,    0x01, 0xc3, 0x89, 0xc1,
    0x83, 0xe1, 7,    0xe3, 2,    0xe2, 0xfe, 0xa9, 0,    0, 2,    0, 0x75, 1,    0x90, 0xeb, 0xdd};
// sti; nop; jmp back to the nop: a limited KVM may say late that the window is open.
const std::vector<u8> kOpens = {0xfb, 0x90, 0xeb, 0xfd};
// out 80h, al; jmp back. And: in al, 81h; jmp back
const std::vector<u8> kWrites = {0xe6, 0x80, 0xeb, 0xfc};
const std::vector<u8> kReads = {0xe4, 0x81, 0xeb, 0xfc};

void must(bool ok, const std::string& what) {
  if (ok) return;
  std::printf("FAILED: %s\n", what.c_str());
  std::exit(1);
}

void must_be(u64 found, u64 wanted, const std::string& what) {
  must(found == wanted, what + ": " + std::to_string(found) + ", not " + std::to_string(wanted));
}

class Guest {
 public:
  Guest(const std::vector<u8>& code, std::unique_ptr<BranchCounter> counter) {
    void* at = mmap(nullptr, kRam, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(at != MAP_FAILED, "memory");
    ram_ = static_cast<u8*>(at);
    engine_ = std::make_unique<vtx::Engine>(ram_, kRam, vtx::Positions::Branches, std::move(counter));
    std::memcpy(ram_ + kCode, code.data(), code.size());
    engine_->memory_written(0, kRam);
    engine_->reset();
    State s = state();
    for (auto& each : s.seg) each = {0, 0xffffffff, 0xc093, 16, {}};
    s.seg[soft::CS] = {0, 0xffffffff, 0xc09b, 8, {}};
    s.rip = kCode;
    s.cr0 = 0x11;
    s.gpr[soft::RAX] = 1;
    must(engine_->set_state(s) == nullptr, "a first state");
  }
  ~Guest() {
    engine_.reset();
    munmap(ram_, kRam);
  }
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;

  vtx::Engine* operator->() { return engine_.get(); }
  State state() {
    State s;
    engine_->get_state(s);
    return s;
  }
  void write(u64 at, const std::vector<u8>& bytes) {
    std::memcpy(ram_ + at, bytes.data(), bytes.size());
    engine_->memory_written(at, bytes.size());
  }
  u64 word(u64 at) {
    soft::u32 value;
    std::memcpy(&value, ram_ + at, sizeof value);
    return value;
  }
  void land(u64 target) {
    must(engine_->run(target).reason == Exit::Limit, "a run to " + std::to_string(target));
    must_be(engine_->icount(), target, "where it ended");
  }

 private:
  u8* ram_;
  std::unique_ptr<vtx::Engine> engine_;
};

std::unique_ptr<BranchCounter> exact() { return vtx::make_stepped_counter(0, 1); }

void must_equal(Guest& found, Guest& wanted) {
  const State a = found.state(), b = wanted.state();
  must_be(a.rip, b.rip, "RIP");
  must(std::memcmp(&a, &b, sizeof a) == 0, "another state than that of a guest whose alarms are exact");
}

// Runs free, and no branch is ever seen.
class Still : public BranchCounter {
 public:
  u64 count() override { return 0; }
  bool alarm_after(u64) override { return true; }
  void no_alarm() override {}
  u64 skid() const override { return 0; }
};

// The hardware says when the window opens, single steps just find it open: one position for both.
void windows() {
  Guest free(kOpens, std::make_unique<Still>()), stepped(kOpens, exact());
  for (Guest* guest : {&free, &stepped}) {
    (*guest)->set_interrupt_line(true);
    must((*guest)->run(u64{1} << 40).reason == Exit::InterruptWindow, "an open window");
    must_be((*guest)->icount(), 0, "its position");
  }
}

// out 80h, al; sti; five nops; jmp back
const std::vector<u8> kWritesAndOpens = {0xe6, 0x80, 0xfb, 0x90, 0x90, 0x90, 0x90, 0x90, 0xeb, 0xf6};

// A free run asked KVM for the window; a step behind it must not end there, with nothing done.
void windows_in_steps() {
  Guest guest(kWritesAndOpens, std::make_unique<Still>());
  guest->set_interrupt_line(true);
  must(guest->run(u64{1} << 40).reason == Exit::PortOut, "a port write");
  guest->set_interrupt_line(false);
  must(guest->run(2).reason == Exit::PortOut, "the next one");
  must(guest->counters().hardware_steps >= 4, "steps by hardware");
  must_be(guest->counters().steps_taken_back, 0, "steps that ended in something else");
}

// The alarm never comes: the count is beyond it when the guest leaves for something else.
class Silent : public Still {
 public:
  explicit Silent(u64 late) : late_(late) {}
  u64 count() override {
    if (armed_ != 0) count_ += armed_ + late_;
    armed_ = 0;
    return count_;
  }
  bool alarm_after(u64 branches) override {
    armed_ = branches;
    return true;
  }

 private:
  u64 late_, armed_ = 0, count_ = 0;
};

bool is_told(const std::vector<u8>& code, u64 late) {
  Guest guest(code, std::make_unique<Silent>(late));
  try {
    guest->run(1000);
    return false;
  } catch (const vtx::Failure& failure) {
    must(std::string(failure.what()).find("branches late") != std::string::npos, failure.what());
    must_be(guest->landing().missed(), 1, "misses");
    return true;
  }
}

// An overshoot is told, whatever exit it is found at; also one that ends at the very target, which may be any
// number of instructions behind it.
void overshoot() {
  const u64 margin = Landing().margin();
  for (const auto& code : {kWrites, kReads}) {
    must(is_told(code, 5000), "far beyond the target");
    must(is_told(code, margin), "at the target");
    must(!is_told(code, margin - 2), "before the target");
  }
}

// As Linux on Broadwell: no alarm sooner than in 128 branches. A refused one leaves the last one as it was, here none.
class Refuses : public BranchCounter {
 public:
  explicit Refuses(u64 shortest) : shortest_(shortest), steps_(exact()) {}
  u64 count() override { return steps_->count(); }
  bool alarm_after(u64 branches) override {
    return branches >= shortest_ && steps_->alarm_after(branches);
  }
  void no_alarm() override { steps_->no_alarm(); }
  u64 skid() const override { return 0; }
  bool is_stepped() const override { return true; }
  void stepped(bool was_branch) override { steps_->stepped(was_branch); }
  bool rings() override { return steps_->rings(); }

 private:
  u64 shortest_;
  std::unique_ptr<BranchCounter> steps_;
};

void short_alarms() {
  for (const u64 shortest : {Landing::kShortest, u64{1} << 20}) {
    for (const u64 beyond : {u64{1}, u64{32}, u64{127}, u64{128}, u64{129}}) {
      Guest guest(kBranches, std::make_unique<Refuses>(shortest)), careful(kBranches, exact());
      const u64 target = Landing().margin() + beyond;
      guest.land(target);
      careful.land(target);
      must_equal(guest, careful);
    }
  }
}

// Two engines of one thread, whose counters count the guests of both.
class Shared : public Refuses {
 public:
  explicit Shared(const u64& others) : Refuses(0), others_(others) {}
  u64 count() override { return Refuses::count() + others_; }

 private:
  const u64& others_;
};

void two_engines() {
  u64 others = 0;
  Guest guest(kBranches, std::make_unique<Shared>(others)), careful(kBranches, exact());
  for (u64 target = 40; target < 1500; target += target / 2) {
    guest.land(target);
    others += 300;
    careful.land(target);
    must_equal(guest, careful);
  }
}

// A limit of the caller's own choosing: no long last stretch, and a position all the same.
void near() {
  Guest guest(kBranches, vtx::make_stepped_counter(60, 7)), careful(kBranches, exact());
  const u64 reach = Landing().reach();
  for (u64 limit = 0, n = 0; n < 5; n++) {
    const u64 begun = guest->icount();
    limit = begun + (n < 4 ? 1000 : 50);
    must(guest->run_near(limit).reason == Exit::Limit, "a run to near a limit");
    must(guest->icount() > begun && guest->icount() <= limit, "between begin and limit");
    must(guest->icount() + reach >= limit, "not far from the limit");
    careful.land(guest->icount());
    must_equal(guest, careful);
  }
  // A branch comes after at most a handful of instructions.
  must(guest->landing().steps() < 5 * 12, std::to_string(guest->landing().steps()) + " steps");
  guest.land(guest->icount() + 1000);
}

// A processor leaves RF set between two iterations of a REP, a step never does. No interrupt tells which it was.
void resume_flag() {
  constexpr u64 kGdt = 0x3000, kIdt = 0x4000, kStack = 0x8000;
  constexpr u8 kVector = 0x20;
  for (const u64 rf : {u64{0}, u64{soft::RF}}) {
    Guest guest(kWrites, exact());
    guest.write(kGdt + 8, {0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0, 0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0});
    guest.write(kIdt + kVector * 8, {0, 0x20, 8, 0, 0, 0x8e, 0, 0});
    State s = guest.state();
    s.gdt_base = kGdt, s.gdt_limit = 23, s.idt_base = kIdt, s.idt_limit = kVector * 8 + 7;
    s.gpr[soft::RSP] = kStack;
    s.rflags |= soft::IF | rf;
    must(guest->set_state(s) == nullptr, "a state with tables");
    guest->interrupt(kVector);
    must_be(guest.word(kStack - 4), 2 | soft::IF, "RFLAGS in the frame");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, void (*)()> tests = {{"windows", windows},
                                                   {"windows-in-steps", windows_in_steps},
                                                   {"overshoot", overshoot},
                                                   {"short-alarms", short_alarms},
                                                   {"two-engines", two_engines},
                                                   {"near", near},
                                                   {"resume-flag", resume_flag}};
  const auto found = tests.find(argc == 2 ? argv[1] : "");
  if (found == tests.end()) return 2;
  try {
    found->second();
  } catch (const std::exception& error) {
    must(false, error.what());
  }
  return 0;
}
