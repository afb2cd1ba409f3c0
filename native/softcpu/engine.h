// The engine as its users see it: a vCPU over a block of guest memory that runs to exact positions.
//
// The contract (docs/ARCHITECTURE.md, "engine"): run(limit) executes until icount == limit, or an
// exit the machine must serve, or soon after kick(); it always stops at an instruction boundary
// with the exact icount, and how a run is cut into calls never changes what the guest computes.
//
// Exits and retirement: OUT and MMIO writes retire first and are reported after (posted); IN and
// MMIO reads are reported before they retire, the machine supplies the value with complete_read(),
// and the instruction retires at the start of the next run(). HLT retires, then halts.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "cpu.h"

namespace twinstep::soft {

enum class Exit : u32 {
  Limit = 0,        // icount == limit
  Kick = 1,         // kick() was seen
  PortIn = 2,       // answer with complete_read()
  PortOut = 3,
  MmioRead = 4,     // answer with complete_read()
  MmioWrite = 5,
  Halt = 6,         // HLT with nothing pending
  InterruptWindow = 7,  // the line is raised and the guest can take it now: call interrupt(vector)
  Shutdown = 8,     // triple fault
  Debug = 9,        // host breakpoint (step testing)
};

struct ExitRecord {
  Exit reason;
  u32 bytes;     // access width 1, 2, 4, 8
  u64 address;   // port or physical address
  u64 value;     // written value
  u64 icount;
};

class Engine {
 public:
  // `ram` is guest-physical [0, ram_bytes), except that with more than kLowRamMax bytes the rest
  // appears at 4 GiB. The caller keeps it mapped for the engine's life.
  static constexpr u64 kLowRamMax = 0xc0000000;
  // What the guest computes is the same with every choice of these.
  struct Options {
    bool translate = true;  // warm blocks to host code (translate.h), where the host allows it
    u32 warm = 20;          // entries of a block before that
  };
  Engine(u8* ram, u64 ram_bytes);
  Engine(u8* ram, u64 ram_bytes, const Options& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Why it does not translate, in words; nullptr if it does.
  const char* translates_not() const;

  const ExitRecord& run(u64 limit_icount);
  void kick() noexcept;                      // any thread, any time; sticky until seen
  void complete_read(u64 value);             // after PortIn / MmioRead
  void set_interrupt_line(bool raised);      // level of the PIC's INTR
  bool can_interrupt() const;                // IF set, no shadow
  void interrupt(u8 vector);                 // now; caller saw InterruptWindow or can_interrupt()
  void nmi();                                // now, or as soon as nothing holds it back

  void reset();                              // power-on state (SDM 9.1)
  void get_state(State& out);                // complete, flags materialised
  // A state taken while a read is out is the one before its instruction: restored, it asks again.
  // set_state refuses what no CPU could hold (state.cc) and says what in words.
  const char* set_state(const State& in);
  u64 icount() const;
  bool halted() const;                       // in HLT, waiting for an interrupt

  // TSC from here on: base at the present icount, mult in 32.32 ticks an instruction.
  void set_tsc(u64 base, u64 mult);
  u64 tsc() const;
  void seed_entropy(const u64 seed[4]);

  // Guest memory changed behind the engine (DMA, loader): decoded code in the range is dropped and
  // the pages count as dirty.
  void memory_written(u64 physical, u64 bytes);
  // Memory was changed by an engine that shares it and keeps its own account of dirty pages
  // (native/vtx): only decoded code in the range is dropped.
  void forget_code(u64 physical, u64 bytes);
  // A run then ends with Limit where a fault or an NMI was delivered, before its handler begins: for an
  // engine that lends this one an instruction at a time (native/vtx) and must know which it was.
  void stop_at_deliveries();
  // One bit a 4 KiB page of `ram`, set since the last clear. Copies and clears in one step.
  void take_dirty_pages(u64* bitmap, size_t words);

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace twinstep::soft
