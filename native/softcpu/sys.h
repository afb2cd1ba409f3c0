// The system part of the CPU: segments, far control, interrupts, control registers, MSRs, CPUID.
//
// One rule binds every function that may fault: check everything, touch every page, then commit.
// Stack frames may be half written when a page in the middle of one is missing (as on real CPUs);
// they lie below the stack pointer, which moves only at the commit.
#pragma once

#include "cpu.h"
#include "flags.h"
#include "mmu.h"

namespace twinstep::soft {

inline constexpr u32 kPhysicalBits = 40;
inline constexpr u32 kTscHz = 1000000000;  // virtual TSC: one tick a virtual nanosecond

// ---- segment attributes (layout of Segment::attr) --------------------------------------------
enum Attr : u32 {
  kAttrAccessed = 1u << 0, kAttrWritable = 1u << 1, kAttrDown = 1u << 2, kAttrCode = 1u << 3,
  kAttrType = 0xf, kAttrS = 1u << 4, kAttrDpl = 3u << 5, kAttrPresent = 1u << 7,
  kAttrLong = 1u << 13, kAttrBig = 1u << 14, kAttrGran = 1u << 15, kAttrUnusable = 1u << 16,
};
inline u8 dpl_of(u32 attr) { return (attr >> 5) & 3; }

enum SystemType : u8 {
  kTss16 = 1, kLdt = 2, kTss16Busy = 3, kCallGate16 = 4, kTaskGate = 5, kIntGate16 = 6,
  kTrapGate16 = 7, kTss32 = 9, kTss32Busy = 11, kCallGate32 = 12, kIntGate32 = 14, kTrapGate32 = 15,
};

// ---- modes ------------------------------------------------------------------------------------
inline bool long_active(const State& s) { return s.efer & EFER_LMA; }
inline bool code64(const State& s) { return long_active(s) && (s.seg[CS].attr & kAttrLong); }
inline bool v86(const State& s) { return s.rflags & VM; }
inline bool real_mode(const State& s) { return !(s.cr0 & CR0_PE); }
inline bool protected_mode(const State& s) { return (s.cr0 & CR0_PE) && !(s.rflags & VM); }
inline u8 iopl(const State& s) { return (s.rflags >> 12) & 3; }
inline bool canonical(u64 a) { return u64(i64(a << 16) >> 16) == a; }
inline bool null_selector(u16 selector) { return !(selector & ~3); }
// The selector part of an error code.
inline u32 error_of(u16 selector) { return selector & 0xfffc; }

// ---- CPUID (sys-cpuid.cc) ---------------------------------------------------------------------
struct CpuidLeaf {
  u32 eax = 0, ebx = 0, ecx = 0, edx = 0;
};
// What the guest model answers in this state; every engine shows the same.
CpuidLeaf cpuid_leaf(const State& s, u32 leaf, u32 subleaf);

// ---- descriptors (sys-descriptor.cc) ----------------------------------------------------------
struct Descriptor {
  u64 low = 0, high = 0;  // high: second half of 16-byte system descriptors in long mode
  u64 address = 0;        // linear, for the accessed and busy bits
  u32 attr() const { return u32(low >> 40) & 0xf0ff; }
  u8 type() const { return attr() & kAttrType; }
  u8 dpl() const { return dpl_of(attr()); }
  bool present() const { return attr() & kAttrPresent; }
  bool system() const { return !(attr() & kAttrS); }
  bool code() const { return !system() && (attr() & kAttrCode); }
  bool data() const { return !system() && !(attr() & kAttrCode); }
  bool conforming() const { return code() && (attr() & kAttrDown); }
  bool readable() const { return !system() && (!(attr() & kAttrCode) || (attr() & kAttrWritable)); }
  bool writable() const { return data() && (attr() & kAttrWritable); }
  u64 base() const { return (low >> 16 & 0xffffff) | (low >> 56) << 24 | high << 32; }
  u32 limit() const {
    const u32 raw = u32(low & 0xffff) | (u32(low >> 32) & 0xf0000);
    return attr() & kAttrGran ? raw << 12 | 0xfff : raw;
  }
  // As a gate.
  u16 gate_selector() const { return u16(low >> 16); }
  u64 gate_offset() const { return (low & 0xffff) | (low >> 32 & 0xffff0000) | high << 32; }
};

// Reads the descriptor a selector names; `vector`(selector) beyond its table.
Descriptor fetch_descriptor(Cpu& c, u16 selector, u8 vector = GP);
bool find_descriptor(Cpu& c, u16 selector, Descriptor& out);  // false beyond the table
// Second half of a 16-byte system descriptor (long mode): limit, type field zero.
void fetch_high_half(Cpu& c, u16 selector, Descriptor& d);
void set_descriptor_bit(Cpu& c, const Descriptor& d, u32 attr_bit, bool on);
Segment make_segment(u16 selector, const Descriptor& d);  // accessed bit set
Segment null_segment(u16 selector, u8 dpl = 0);
Segment real_segment(const Segment& old, u16 selector);
Segment v86_segment(u16 selector);

// All checks of loading (SDM vol. 2 MOV; vol. 3A 5.5-5.8). The accessed bit in memory is set; no
// register changes.
Segment data_segment(Cpu& c, u16 selector);
Segment stack_segment(Cpu& c, u16 selector, u8 cpl, u8 vector);
Segment segment_for(Cpu& c, Seg which, u16 selector);  // any mode, any of ES SS DS FS GS
Segment code_segment_direct(Cpu& c, u16 selector, const Descriptor& d);  // far JMP, CALL
Segment code_segment_return(Cpu& c, u16 selector);                       // RETF, IRET
// #GP(0) when `rip` is beyond the limit or not canonical.
void check_target(const State& s, const Segment& cs, u64 rip);

// ---- stacks (sys-stack.cc) --------------------------------------------------------------------
// Pops from the present stack at the present privilege; nothing changes until commit().
class StackReader {
 public:
  explicit StackReader(Cpu& c);
  u64 pop(u32 bytes);
  void skip(u64 bytes);
  void commit();

 private:
  Cpu& c_;
  u64 sp_;
};

// Collects pushes to any stack, then checks all of them, then writes all of them.
class StackWriter {
 public:
  explicit StackWriter(Cpu& c);  // the present stack
  // A stack of privilege `cpl`; `error` goes with #SS.
  StackWriter(Cpu& c, const Segment& ss, u64 sp, bool long_stack, u8 cpl, u32 error);
  void push(u64 value, u32 bytes);
  void check() const;  // limits, canonical form
  u64 write();         // after check(); returns the new stack pointer

 private:
  struct Item {
    u64 value;
    u64 at;
    u32 bytes;
  };
  static constexpr u32 kItemsMax = 40;  // 31 parameters of a call gate and a frame
  Cpu& c_;
  Segment ss_;
  u64 sp_, mask_;
  bool long_stack_;
  Priv priv_;
  u32 error_;
  u32 count_ = 0;
  Item items_[kItemsMax];
};

// Bytes [offset, offset + bytes) lie within the segment (SDM 5.3, expand-down included).
bool in_limit(const Segment& g, u64 offset, u32 bytes);
u64 stack_mask(bool long_stack, const Segment& ss);
// Writes rSP, as wide as `mask` says: 16 bits merge, 32 bits zero-extend.
void set_sp(State& s, u64 sp, u64 mask);

// Stack pointers of the present TSS (SDM 7.2.1, 7.7).
struct InnerStack {
  Segment ss;
  u64 sp;
};
InnerStack inner_stack(Cpu& c, u8 cpl);   // 16- and 32-bit TSS
u64 inner_stack_long(Cpu& c, u32 slot);   // 0..2 RSP0..RSP2, 3..9 IST1..IST7

// ---- far transfers (sys-far.cc, sys-return.cc, sys-task.cc) -----------------------------------
struct FarPointer {
  u16 selector;
  u64 offset;
};
FarPointer read_pointer(Cpu& c, const Insn& i);  // m16:16, m16:32, m16:64
void far_jump(Cpu& c, u16 selector, u64 offset, u32 bits);
void far_call(Cpu& c, u16 selector, u64 offset, u32 bits);
void far_return(Cpu& c, u32 bits, u32 release);
void interrupt_return(Cpu& c, u32 bits);
// Hardware task switch; `source` says what links and busy bits to change (SDM 7.3).
enum class TaskSource : u8 { jump, call, gate_event, iret };
void task_switch(Cpu& c, u16 selector, TaskSource source, bool has_error, u32 error);

// ---- events (sys-interrupt.cc) ----------------------------------------------------------------
enum class EventKind : u8 {
  hardware,    // INTR, NMI
  software,    // INT n, INT3, INTO: gate DPL is checked, no EXT
  privileged,  // INT1
  exception,
};
// From inside an instruction: faults are raised, not delivered. s.rip is the return address.
void software_interrupt(Cpu& c, u8 vector, EventKind kind);
// Where an event cannot wait for the machine: its tables or its stack lie outside RAM.
void shut_down(Cpu& c);
// DR6 as a #DB leaves it: of the breakpoints only those it is for, the rest is added (SDM 17.2.3).
inline void note_debug(State& s, u64 dr6_bits) { s.dr6 = (s.dr6 & ~kDr6Breakpoints) | dr6_bits; }

// ---- control registers, MSRs, CPUID -----------------------------------------------------------
void write_cr0(Cpu& c, u64 value);
void write_cr3(Cpu& c, u64 value);
void write_cr4(Cpu& c, u64 value);
u64 read_msr(Cpu& c, u32 index);
void write_msr(Cpu& c, u32 index, u64 value);
void cpuid(Cpu& c);
// CR4 bits of what CPUID announces; all others fault.
inline constexpr u64 kCr4Known = CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCE |
                                 CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_FSGSBASE | CR4_OSXSAVE |
                                 CR4_SMEP;
inline constexpr u64 kEferKnown = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;

// ---- instructions, by file --------------------------------------------------------------------
// Each returns nullptr for what it does not know.
Handler select_segment(const Insn& i);    // MOV/PUSH/POP Sreg, LDS.., descriptor tables, LAR..
Handler select_far(const Insn& i);        // far JMP/CALL/RET, IRET, INT
Handler select_control(const Insn& i);    // CR, DR, HLT, CLTS, LMSW, INVLPG, XSETBV
Handler select_privilege(const Insn& i);  // SYSCALL.., SYSENTER.., SWAPGS, MSRs, TSC, RDRAND, CPUID
Handler select_port(const Insn& i);       // IN, OUT

// A general register as an operand of `bits` bits: 16 bits merge, 32 bits zero-extend.
inline void put_register(State& s, u8 reg, u32 bits, u64 value) {
  if (bits == 16) {
    s.gpr[reg] = (s.gpr[reg] & ~u64{0xffff}) | (value & 0xffff);
  } else {
    s.gpr[reg] = bits == 32 ? u32(value) : value;
  }
}
inline bool is_register(const Insn& i) { return i.modrm >= 0xc0; }
inline u8 group(const Insn& i) { return (i.modrm >> 3) & 7; }
inline void need_cpl0(const Cpu& c) {
  if (c.cpl != 0) raise_gp0();
}
inline u64 mask_of(u32 bits) { return bits == 64 ? ~u64{0} : (u64{1} << bits) - 1; }

}  // namespace twinstep::soft
