// The landing algorithm against the software engine posing as a processor with a branch counter whose
// alarm comes late: every target is hit, at the very state that counting from the start gives.
//
//     landing-test SEED ROUNDS
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "softcpu/decode.h"
#include "softcpu/engine.h"
#include "vtx/landing.h"
#include "vtx/step-policy.h"

namespace {

using namespace twinstep;
using soft::u64;
using soft::u8;

constexpr u64 kRam = 1 << 20, kCode = 0x1000;

// lea eax, [eax+eax*4+3039h]; test eax, 10000h; jz +2; add ebx, eax; mov ecx, eax; and ecx, 7;
// jecxz +2; loop $; test eax, 20000h; jnz +1; nop; jmp back
const std::vector<u8> kGuest = {
    0x8d, 0x84, 0x80, 0x39, 0x30, 0,    0,    0xa9, 0,    0, 1,    0, 0x74, 2,    0x01, 0xc3, 0x89, 0xc1,
    0x83, 0xe1, 7,    0xe3, 2,    0xe2, 0xfe, 0xa9, 0,    0, 2,    0, 0x75, 1,    0x90, 0xeb, 0xdd};

[[noreturn]] void fail(const char* what, u64 target, u64 found) {
  std::printf("FAILED: %s: target %llu, found %llu\n", what, static_cast<unsigned long long>(target),
              static_cast<unsigned long long>(found));
  std::exit(1);
}

// What hardware is to landing: it runs until an alarm that is late, or makes one step.
class Processor {
 public:
  explicit Processor(std::mt19937_64& random) : random_(random), ram_(kRam), engine_(ram_.data(), kRam) {
    std::copy(kGuest.begin(), kGuest.end(), ram_.begin() + kCode);
    engine_.memory_written(0, kRam);
    engine_.reset();
    soft::State s;
    engine_.get_state(s);
    for (auto& each : s.seg) each = {0, 0xffffffff, 0xc093, 16, {}};
    s.seg[soft::CS] = {0, 0xffffffff, 0xc09b, 8, {}};
    s.rip = kCode;
    s.cr0 = 0x11;
    s.gpr[soft::RAX] = 1;
    if (const char* why = engine_.set_state(s)) fail(why, 0, 0);
  }

  u64 branches() const { return branches_; }
  void step() {
    soft::State s;
    engine_.get_state(s);
    soft::Insn i;
    if (soft::decode(ram_.data() + s.rip, 15, 32, s.rip, i) != soft::Decode::Ok) fail("decode", s.rip, 0);
    branches_ += vtx::is_conditional_branch(i);
    engine_.run(s.icount + 1);
  }
  void run_to_alarm(u64 alarm, u64 skid) {
    const u64 late = alarm + random_() % (skid + 1);
    while (branches_ < late) step();
    // And a few instructions more, as an interrupt would come.
    for (u64 n = random_() % 3; n > 0; n--) {
      if (branches_ == late) step();
    }
  }
  soft::State state() {
    soft::State s;
    engine_.get_state(s);
    return s;
  }

 private:
  std::mt19937_64& random_;
  std::vector<u8> ram_;
  soft::Engine engine_;
  u64 branches_ = 0;
};

// False: the algorithm says that the alarm was too late.
bool land(Processor& p, vtx::Landing& landing, u64 target, u64 skid) {
  for (;;) {
    const auto next = landing.next(p.branches(), target);
    switch (next.move) {
      case vtx::Landing::Move::There: return true;
      case vtx::Landing::Move::Missed: return false;
      case vtx::Landing::Move::Step: p.step(); break;
      case vtx::Landing::Move::Run:
        if (next.alarm + landing.margin() != target) fail("alarm", target, next.alarm);
        if (next.alarm - p.branches() <= vtx::Landing::kShortest) fail("short alarm", target, next.alarm);
        p.run_to_alarm(next.alarm, skid);
        if (!landing.ended(p.branches(), target)) return false;
        break;
    }
  }
}

void lands(std::mt19937_64& random, u64 skid) {
  Processor hurried(random), careful(random);
  vtx::Landing landing(skid + 4);
  for (u64 n = 0, target = 0; n < 12; n++) {
    target += 1 + random() % (3 * skid + 300);
    if (!land(hurried, landing, target, skid)) fail("missed", target, hurried.branches());
    while (careful.branches() < target) careful.step();
    const soft::State a = hurried.state(), b = careful.state();
    if (std::memcmp(&a, &b, sizeof a) != 0) fail("state", target, hurried.branches());
  }
  if (landing.landed() != 12 || landing.missed() != 0) fail("counts", 12, landing.landed());
  // An alarm may fall a whole block of branches late on top of its skid, never more here.
  if (landing.skid_max() > skid + 3) fail("skid", skid, landing.skid_max());
}

void refuses(std::mt19937_64& random) {
  Processor p(random);
  vtx::Landing landing(8);
  u64 target = 0;
  for (int n = 0; n < 200; n++) {
    target = p.branches() + 160;
    if (!land(p, landing, target, 500)) {
      if (landing.missed() != 1 || p.branches() < target) fail("refusal", target, p.branches());
      return;
    }
  }
  fail("never refused", target, p.branches());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::mt19937_64 random(std::strtoull(argv[1], nullptr, 10));
  const int rounds = std::atoi(argv[2]);
  for (int n = 0; n < rounds; n++) {
    for (const u64 skid : {u64{0}, u64{1}, u64{7}, u64{100}, u64{400}}) lands(random, skid);
    refuses(random);
  }
  std::printf("%d rounds\n", rounds);
  return 0;
}
