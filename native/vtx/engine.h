// The engine over KVM, behind the contract of softcpu/engine.h and in the same state bytes.
//
// It never works alone. The software engine beside it, over the same memory, is the reference: it
// holds the state while the guest stands still, delivers every interrupt and NMI, says what is due at
// a boundary, and executes what hardware would do differently on another host or behind our back. KVM
// executes the rest. What a position counts depends on what the host offers (docs/decisions/0050):
//
//   Steps     instructions, by single steps: exact everywhere, slow; for tests
//   Exits     exits the guest itself causes (ports, device memory, HLT, ...) and nothing else
//   Branches  retired conditional branches and exits: exact, where the host counts branches
#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "softcpu/engine.h"
#include "vtx/branches.h"
#include "vtx/kvm.h"
#include "vtx/landing.h"

namespace twinstep::vtx {

// Width of the code a state executes: 16, 32 or 64.
u8 code_bits(const soft::State& s);
// What the time stamp counter says at a position.
u64 tsc_at(const soft::State& s, u64 icount);
// The signal that brings a thread out of KVM_RUN.
int kick_signal();

enum class Positions : u32 { Steps = 0, Exits = 1, Branches = 2 };

struct Counters {
  u64 kvm_runs = 0;           // entries into the guest
  u64 hardware_steps = 0;     // instructions by single step
  u64 reference_steps = 0;    // instructions by the software engine
  u64 steps_taken_back = 0;   // steps that ended in a fault, done again by the software engine
  u64 standing_steps = 0;     // steps that changed nothing, done again by the software engine
  u32 last_other_exit = 0;    // how the last step ended that was taken back
  u64 exits = 0;              // exits the guest caused
  // The same by kind, as KVM reports them.
  u64 ports = 0, memory = 0, halts = 0;
  u64 tsc = 0;                // the time, told in place
  u64 msrs = 0;               // other MSRs, by the software engine
  u64 windows = 0;            // interrupt windows waited for
};

class Engine {
 public:
  // `branches`: where they are counted; null: the host's counter, which is asked for at the first run.
  Engine(u8* ram, u64 ram_bytes, Positions positions,
         std::unique_ptr<BranchCounter> branches = nullptr);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // As in softcpu/engine.h. run() throws Failure when KVM gives up.
  const soft::ExitRecord& run(u64 limit);
  // The same for a limit of the caller's own choosing: with counted branches it may end at a position
  // before it, at most Landing::reach() units, where landing on it would take single steps.
  const soft::ExitRecord& run_near(u64 limit);
  void kick() noexcept;
  void complete_read(u64 value);
  void set_interrupt_line(bool raised);
  bool can_interrupt();
  void interrupt(u8 vector);
  void nmi();
  void reset();
  void get_state(soft::State& out);
  const char* set_state(const soft::State& in);
  u64 icount() const;
  bool halted();
  void set_tsc(u64 base, u64 mult);
  u64 tsc();
  void seed_entropy(const u64 seed[4]);
  void memory_written(u64 physical, u64 bytes);
  void take_dirty_pages(u64* bitmap, size_t words);

  // Positions::Exits, after a kick: the guest has run since the last position and stands whole, so that
  // its state can be taken; and where it stands becomes the next position.
  bool is_between();
  void close_slice();

  Positions positions() const { return positions_; }
  const Counters& counters() const { return counters_; }
  const Landing& landing() const { return landing_; }
  bool tells_tsc() const { return kvm_.tells_tsc(); }
  bool tables_follow() const { return kvm_.tables_follow(); }
  u64 slots_made() const { return kvm_.slots_made(); }

 private:
  enum class Holder { Reference, Kvm };

  // What the next instruction is, as far as positions go.
  struct Look {
    bool exits = false, branches = false, repeats = false;
    u64 iterations = 1;  // of a repeated instruction, as far as they are known beforehand
  };

  // steps.cc
  const soft::ExitRecord& run_steps(u64 limit);
  bool may_step(u64 limit);
  bool step_hardware();
  bool step_kvm();
  void begin_steps();
  void forget_translations(bool stepping);
  void forget_tables();
  void take_step_back(bool pending);
  const soft::ExitRecord& step_reference(u64 limit);
  bool fetch(const soft::State& s, u8* bytes, u32& available);
  void tell_written(const soft::State& s, const soft::Insn& i);
  void forget_code_at(const soft::State& s);

  // free-run.cc
  const soft::ExitRecord& run_any(u64 limit, bool near);
  const soft::ExitRecord& run_free(u64 limit, bool near);
  const soft::ExitRecord* due(u64 limit);
  const soft::ExitRecord& report(soft::Exit reason);
  const soft::ExitRecord* run_reference(u64 limit);
  bool is_shut_down();
  bool has_nmi();
  void go_on(u64 limit);
  void check_landing(u64 limit);
  [[noreturn]] void miss();
  void enter();
  void take_exit();
  void take_access();
  void finish_read();
  void unit();
  void tell_tsc();
  bool is_rdtscp_at(u64 rip);
  void hand_over(bool counts);
  bool on_reference_busy() const;
  Look look_at(const soft::State& s);
  void count_as_here(soft::State& s);
  void open_counter();
  void count_branches();
  void counted_on_reference();
  void run_to_alarm(u64 branches);
  void step_counted();

  // engine.cc
  void to_reference();
  void to_kvm();
  void leave_kvm();
  void forget_resume();
  bool run_kvm();
  bool to_offset(u64 physical, u64& offset) const;

  Positions positions_;
  u8* ram_;
  u64 ram_bytes_, low_bytes_;
  soft::Engine reference_;
  Kvm kvm_;
  std::vector<u64> dirty_;  // by hardware, since the last take

  // Where the state is now. With the reference: in it, complete. With KVM: registers there (in steps:
  // general and floating point; in a free run: everything KVM knows), the rest in `state_`.
  Holder holder_ = Holder::Reference;
  soft::State state_{};
  bool stepping_ = false;          // KVM is set up for single steps
  bool floating_loaded_ = false;   // KVM has the floating point state (steps only)
  bool flush_ = true;              // the reference changed how addresses are translated
  bool replaced_ = false;          // memory is another one than KVM has seen, page tables among it
  bool has_seen_ = false;          // KVM has run the guest since it was given this memory
  soft::State loaded_{};           // what KVM was last given (steps only), to load only changes

  bool line_ = false;
  std::atomic<bool> kicked_{false};
  std::mutex runner_mutex_;
  pid_t runner_ = 0;               // thread inside run(), for the signal

  // Free runs. While KVM has the state, halted_, shutdown_ and nmi_pending_ belong to it.
  u64 position_ = 0;
  soft::ExitRecord exit_{};
  std::vector<soft::ExitRecord> posted_;
  size_t posted_next_ = 0;
  bool waiting_ = false;           // a read is out
  bool answered_ = false;          // and has its value, in the shared page
  bool on_reference_ = false;      // the software engine has begun an instruction
  bool must_run_ = false;          // and is to execute the next one, too
  bool read_answered_ = false;     // and has the value it asked for
  bool hand_over_counts_ = false;  // the instruction KVM handed over is a unit of position
  bool halted_ = false, shutdown_ = false, nmi_pending_ = false;
  bool moved_ = false;             // the guest has run since the last unit

  std::unique_ptr<BranchCounter> branches_;
  u64 branches_seen_ = 0;
  Landing landing_;
  Counters counters_;
};

}  // namespace twinstep::vtx
