// The state of one virtual CPU, and the few services every instruction may use.
//
// Everything the guest can observe lives in `Cpu::s` (plain data: saving and restoring a machine is
// a copy of it). The rest of `Cpu` is cache: TLB, lazy flags, decoded blocks, exit records. It must
// never influence what the guest sees, only how fast it sees it.
//
// Sources: Intel SDM vol. 1-3 (325462), cited per function as "SDM <section>".
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>

namespace twinstep::soft {

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using i8 = int8_t;
using i16 = int16_t;
using i32 = int32_t;
using i64 = int64_t;

enum Gpr : u8 { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };
// Slot 16 of the register file is always zero: "no base" and "no index" cost no branch.
inline constexpr u8 kZeroReg = 16;

enum Seg : u8 { ES, CS, SS, DS, FS, GS, kSegCount };

enum Flag : u64 {
  CF = 1u << 0, PF = 1u << 2, AF = 1u << 4, ZF = 1u << 6, SF = 1u << 7, TF = 1u << 8, IF = 1u << 9,
  DF = 1u << 10, OF = 1u << 11, IOPL = 3u << 12, NT = 1u << 14, RF = 1u << 16, VM = 1u << 17,
  AC = 1u << 18, VIF = 1u << 19, VIP = 1u << 20, ID = 1u << 21,
};
inline constexpr u64 kStatusFlags = CF | PF | AF | ZF | SF | OF;

enum Vector : u8 {
  DE = 0, DB = 1, NMI = 2, BP = 3, OFV = 4, BR = 5, UD = 6, NM = 7, DF_ = 8, TS = 10, NP = 11,
  SSV = 12, GP = 13, PFV = 14, MF = 16, ACV = 17, XM = 19,
};

enum Cr0 : u64 {
  CR0_PE = 1u << 0, CR0_MP = 1u << 1, CR0_EM = 1u << 2, CR0_TS = 1u << 3, CR0_ET = 1u << 4,
  CR0_NE = 1u << 5, CR0_WP = 1u << 16, CR0_AM = 1u << 18, CR0_NW = 1u << 29, CR0_CD = 1u << 30,
  CR0_PG = 1u << 31,
};
enum Cr4 : u64 {
  CR4_VME = 1u << 0, CR4_PVI = 1u << 1, CR4_TSD = 1u << 2, CR4_DE = 1u << 3, CR4_PSE = 1u << 4,
  CR4_PAE = 1u << 5, CR4_MCE = 1u << 6, CR4_PGE = 1u << 7, CR4_PCE = 1u << 8,
  CR4_OSFXSR = 1u << 9, CR4_OSXMMEXCPT = 1u << 10, CR4_FSGSBASE = 1u << 16,
  CR4_OSXSAVE = 1u << 18, CR4_SMEP = 1u << 20, CR4_SMAP = 1u << 21,
};
enum Efer : u64 {
  EFER_SCE = 1u << 0, EFER_LME = 1u << 8, EFER_LMA = 1u << 10, EFER_NXE = 1u << 11,
};

// A segment register with its hidden part. `attr` has the layout of the VMX access-rights field
// (SDM 24.4.1): type 0-3, S 4, DPL 5-6, P 7, AVL 12, L 13, D/B 14, G 15, unusable 16.
struct Segment {
  u64 base = 0;
  u32 limit = 0;  // expanded to bytes
  u32 attr = 0;
  u16 selector = 0;
  u16 pad[3] = {};
};

union Xmm {
  u8 b[16];
  u16 w[8];
  u32 d[4];
  u64 q[2];
  float f[4];
  double g[2];
};

// x87 register: 80-bit pattern in 16 bytes; mmx register n is `mantissa` of physical register n.
struct Fpr {
  u64 mantissa;
  u16 sign_exponent;
  u16 pad[3];
};

struct Fpu {
  Fpr r[8];         // physical registers, not stack-relative
  u16 control;      // FCW, reset 0x037f
  u16 status;       // FSW with TOP in bits 11-13
  u8 tag;           // abridged: bit n set = physical register n in use (as FXSAVE stores it)
  u8 pad0[1];
  u16 opcode;       // FOP
  u64 ip, dp;       // last instruction, last operand
  u16 cs, ds;
  u32 mxcsr;        // reset 0x1f80
};

// State::shadow. STI holds back interrupts at the boundary behind it, MOV SS and POP SS debug exceptions
// too (SDM 6.8.3).
enum Shadow : u8 { kShadowInterrupts = 1, kShadowDebug = 2 };
inline constexpr u64 kDr6Breakpoints = 15, kDr6Bd = 1u << 13, kDr6Bs = 1u << 14, kDr6Bt = 1u << 15;
// In State::debug_pending: BT (a task with the T bit was entered) and BS (SYSRET has set TF).
inline constexpr u8 kPendingTask = 0x80, kPendingStep = 0x40;

// What the guest can observe. Plain data, no pointers, fixed layout: the order of fields is part of
// the checkpoint format (bump kStateVersion when it changes).
inline constexpr u32 kStateVersion = 1;
struct State {
  u64 gpr[17];  // [16] is always zero
  u64 rip;
  u64 rflags;   // complete, also the status flags, whenever the engine is not running
  Segment seg[kSegCount];
  Segment ldtr, tr;
  u64 gdt_base, idt_base;
  u32 gdt_limit, idt_limit;
  u64 cr0, cr2, cr3, cr4, cr8;
  u64 dr[4], dr6, dr7;
  u64 efer, star, lstar, cstar, sfmask, kernel_gs_base, tsc_aux;
  u64 sysenter_cs, sysenter_esp, sysenter_eip, pat, misc_enable, apic_base;
  u64 mtrr_def_type, mtrr_fixed[11], mtrr_var[16];
  u64 xcr0;
  Xmm xmm[16];
  Fpu fpu;
  u64 icount;         // instructions retired since reset, see ICOUNT.md
  u64 tsc_base;       // guest TSC = tsc_base + (((icount - tsc_icount) * tsc_mult) >> 32)
  u64 tsc_icount;
  u64 tsc_mult;       // 32.32 fixed point, TSC ticks an instruction
  u64 rng[4];         // generator behind RDRAND and RDSEED, xoshiro256**: not all zero
  u8 halted;          // in HLT, waiting for an interrupt
  u8 shadow;          // what this boundary holds back, bits of Shadow
  u8 nmi_blocked;
  u8 in_shutdown;     // triple fault
  u8 nmi_pending;     // one NMI waits for nmi_blocked, a shadow or a read to end
  u8 debug_pending;   // #DB due at the next boundary without kShadowDebug: B0 to B3, kPending bits
  u16 faults_here;    // delivered since the last instruction retired
};

struct Cpu;

// One decoded instruction: what the decoder produces and semantics read. Registers already carry
// REX, `rm` is a register number only where mod == 3.
struct Insn;
using Handler = const Insn* (*)(Cpu&, const Insn*);
struct Insn {
  Handler fn;
  u64 imm;       // sign-extended immediate; of a direct branch the target rip, already cut to size
  u64 disp;      // displacement or moffs; RIP-relative operands are folded to an absolute address
  u8 map;        // 0 one-byte, 1 0F, 2 0F38, 3 0F3A; kNoMap: bytes that are no instruction
  u8 opcode;
  u8 modrm;
  u8 reg, rm;    // with REX.R / REX.B; a register in the opcode is in rm, with modrm = C0
  u8 base, index, scale;  // memory operand; kZeroReg where absent; scale is a shift 0..3
  u8 seg;        // segment of the memory operand, override applied
  u8 op_bits;    // 16, 32, 64
  u8 addr_bits;  // 16, 32, 64
  u8 len;        // bytes
  u8 rex;        // 0 or 40..4F
  u8 rep;        // 0, F2, F3
  u8 flags;      // kHas66, kLock, kMemory, ...
  u8 imm2;       // ENTER's second immediate
  u16 offset;    // bytes from the start of its block: rip = block rip + offset
  u16 index_in_block;
  u8 reg_at, rm_at;  // byte offsets of reg and rm in the register file as 8-bit operands (AH..BH)
  u8 flow;           // kEndsBlock, ... (InsnFlow)
  u8 pad;
};
static_assert(sizeof(Insn) == 48);
inline constexpr u8 kNoMap = 0xff;
enum InsnFlag : u8 { kHas66 = 1, kLock = 2, kMemory = 4, kLong = 8 /* decoded in 64-bit mode */ };
// The immediate of a far pointer (9A, EA).
inline u16 immediate_selector(const Insn& i) { return static_cast<u16>(i.imm >> 32); }
inline u32 immediate_offset(const Insn& i) { return static_cast<u32>(i.imm); }
enum InsnFlow : u8 {
  kEndsBlock = 1,  // no instruction follows in the block
  kFarLink = 2,    // the linked block lies on another page: its translation is checked on the way
  kHasLink = 8,    // direct branch: `imm` is the target rip, `disp` the linked block
  kRepeats = 16,   // string instruction with REP: each iteration counts
  kPseudo = 4,     // made by the dispatcher, counts nothing (end of a block, stop)
};

// ---- the virtual CPU ----------------------------------------------------------------------------
struct Block;
struct Core;  // engine internals: RAM, page records, block cache

// Data translations. A tag is a page address, or odd (never equal to one) where the fast path must
// not be taken. `addend` + linear = host address.
struct TlbEntry {
  u64 read, write;
  u64 addend;
  u64 physical;
};
inline constexpr u32 kTlbEntries = 4096;
struct ExecEntry {
  u64 tag;
  u64 physical;
};
inline constexpr u32 kExecEntries = 2048;
inline constexpr u32 kJumpEntries = 16384;

// Whose rights a data access has. The three paged banks of the TLB are in this order.
enum class Priv : u8 {
  User,           // CPL 3
  Supervisor,     // CPL < 3 or an implicit access (GDT, IDT, TSS); SMAP keeps it off user pages
  SupervisorAc,   // CPL < 3 with EFLAGS.AC (or without SMAP)
};

struct alignas(64) Cpu {
  u64 scratch = 0;  // of translated code; it also puts s.xmm where the host wants vectors
  State s{};

  // The status flags as the host's LAHF and SETO leave them in AX: AH = SF ZF - AF - PF - CF,
  // AL = OF. s.rflags holds the other flags; its six status bits are stale while running.
  u16 host_flags = 0;
  u8 cpl = 0;            // follows SS.DPL, see update_mode
  u8 code_bits = 16;     // 16, 32, 64
  u8 stack_bits = 16;    // width of rSP for pushes and pops
  u8 access = 1;         // Priv of ordinary data accesses now
  u8 slow = 0;           // one instruction at a time: TF, breakpoints, ...
  u8 line = 0;           // the interrupt line is raised
  u8 sse_off = 1;        // an SSE instruction faults: CR0.EM, CR0.TS, CR4.OSFXSR
  u32 code_key = 0;      // names (code_bits, CS base, CS limit)
  TlbEntry* tlb = nullptr;      // bank for ordinary data accesses
  ExecEntry* exec = nullptr;    // bank for fetches
  std::atomic<u64> stop_at{0};  // a block that would retire beyond this goes back to the loop
  const Insn* cur = nullptr;    // running instruction, for faults; nullptr at a boundary
  u64 limit = 0;                // of this run()
  u64 cs_base = 0;              // 0 in 64-bit mode
  u64 shadow_at = ~u64{0};      // s.icount at which interrupts are shadowed (set_shadow)
  u64 debug_held_at = ~u64{0};  // s.icount at which debug exceptions are held back (hold_debug)
  u64 resume_at = ~u64{0};      // s.icount at which RFLAGS.RF is in force
  u64 repeat_from = 0;          // s.icount before the running REP instruction, in this run of it
  u64 debug_hits = 0;           // DR6 bits of breakpoints the running instruction met
  bool exit_pending = false;    // an exit was recorded by the running instruction
  Core* core = nullptr;
  Block* jump[kJumpEntries] = {};
};

// ---- faults -------------------------------------------------------------------------------------
// Raising leaves the handler by an exception. A handler therefore does every access that may fault
// before it changes any register: an instruction either retires or leaves no trace but CR2 and A/D.
struct GuestFault {
  u8 vector;
  bool has_error;
  u32 error;
};
[[noreturn]] void raise(u8 vector);                  // no error code
[[noreturn]] void raise_error(u8 vector, u32 error);  // with error code
[[noreturn]] inline void raise_ud() { raise(UD); }
[[noreturn]] inline void raise_gp0() { raise_error(GP, 0); }

// ---- memory (mmu.h has the fast paths) ----------------------------------------------------------
// `operand` gives the linear address of insn's memory operand, segment base added, limit and
// canonical form checked for `bytes` bytes. read/write take linear addresses, may cross pages,
// fault precisely, and reach MMIO (then the engine exits; see engine.h).
u64 operand(Cpu& c, const Insn& i, u32 bytes, bool write);
// The part of it that begins `skip` bytes on: a pair (far pointer, bounds, table register) is two accesses,
// and the offset of the second wraps with the address size.
u64 operand_part(Cpu& c, const Insn& i, u32 skip, u32 bytes, bool write);
template <class T> T read(Cpu& c, u64 linear);             // T: u8..u64, Xmm
template <class T> void write(Cpu& c, u64 linear, T value);
// Checks that [linear, linear+bytes) may be written, faulting otherwise, without writing.
void probe_write(Cpu& c, u64 linear, u32 bytes);
// At the current privilege; both fault before the first byte moves.
void read_block(Cpu& c, u64 linear, void* to, u32 bytes);
void write_block(Cpu& c, u64 linear, const void* from, u32 bytes);

// ---- flags --------------------------------------------------------------------------------------
// Status flags are lazy; these two are the only way in and out for everyone but the ALU family.
inline u64 status_flags(Cpu& c);                 // CF PF AF ZF SF OF, materialised (flags.h)
inline void set_status_flags(Cpu& c, u64 flags);  // replaces all six (flags.h)

// ---- for instructions that end a block ----------------------------------------------------------
// A handler made by step_flow<F> ends its block. F sees s.rip = address of the next instruction
// (and may change it), s.icount with this instruction counted, s.rflags with RF clear; a fault puts
// both back. After F the mode is re-derived (update_mode), so F may change segments, control
// registers and flags freely. Everything in select_system uses it, but for what decode.cc lists as
// plain_system.
void begin_flow(Cpu& c, const Insn* i);
const Insn* end_flow(Cpu& c);

// Re-derives cpl, code_bits, access, TLB banks, slow from State. Needed by hand only when F goes on
// to use memory after changing CS, SS, CR0, CR3, CR4, EFER, DR7, RFLAGS.{VM,AC,TF} or CR3.
// cpl is SS.DPL (as VMX keeps it); in real mode SS.DPL must be 0, in virtual-8086 mode 3.
void update_mode(Cpu& c);
// Complete s.rflags with status flags in it, and the way back (all bits as given, no checks).
inline u64 get_rflags(Cpu& c);
inline void set_rflags(Cpu& c, u64 value);
inline void set_shadow(Cpu& c) { c.shadow_at = c.s.icount; }  // STI, MOV SS, POP SS (in step_flow)
inline void hold_debug(Cpu& c) { c.debug_held_at = c.s.icount; }       // MOV SS, POP SS
inline void clear_shadow(Cpu& c) { c.shadow_at = c.debug_held_at = ~u64{0}; }  // event delivery
// RFLAGS.RF is in force at this boundary: no instruction breakpoint matches here.
inline void set_resume(Cpu& c) {
  c.s.rflags |= RF;
  c.resume_at = c.s.icount;
}
// Position before the running instruction: what RDTSC and exits report.
u64 retired(Cpu& c);
u64 tsc_now(Cpu& c);

// Rights other than the current ones: descriptor tables, TSS, stacks of another level.
template <class T> T read_as(Cpu& c, u64 linear, Priv priv);
template <class T> void write_as(Cpu& c, u64 linear, T value, Priv priv);
// Translations are coherent with memory (a store into a page table takes effect at once), so
// INVLPG and MOV CR3 need nothing but update_mode; this is for changes of CR0, CR4, EFER.NXE.
void paging_changed(Cpu& c);

// Ports. port_in answers false if the machine has yet to supply the value: return at once, without
// a trace; the instruction is run again later. port_out is posted. (IN, OUT: select_system. INS and
// OUTS: ops-string.cc.) check_io is the permission check (IOPL, TSS bitmap), #GP(0) if refused.
bool port_in(Cpu& c, u16 port, u32 bytes, u64& value);
void port_out(Cpu& c, u16 port, u32 bytes, u64 value);
void check_io(Cpu& c, u16 port, u32 bytes);  // sys-*.cc

// ---- event delivery: sys-*.cc, called by the run loop at an exact boundary; they never throw ----
void deliver_fault(Cpu& c, const GuestFault& fault);  // s.rip at the instruction; double and triple
                                                      // faults inside (then s.in_shutdown = 1)
void deliver_interrupt(Cpu& c, u8 vector);            // external; clears s.halted and the shadow
void deliver_nmi(Cpu& c);
void deliver_debug(Cpu& c, u64 dr6_bits);             // #DB as a trap (step, data breakpoint)
void deliver_debug_fault(Cpu& c, u64 dr6_bits);       // #DB as a fault (instruction breakpoint)

// ---- families -----------------------------------------------------------------------------------
// The decoder asks each family for the handler of a decoded instruction; nullptr means #UD.
// Asked in this order; integer has CLI, STI, CLC.., PUSHF, POPF, near flow, INS/OUTS, NOP, UD2.
Handler select_integer(const Insn& i);  // ops-*.cc, all but the ones below
Handler select_system(const Insn& i);   // CR/DR/MSR, descriptor tables, far control, I/O, CPUID
Handler select_x87(const Insn& i);      // D8..DF, 9B
Handler select_simd(const Insn& i);     // MMX, SSE..SSE4.2, CRC32, LDMXCSR, FXSAVE, XSAVE, fences

// Wraps a plain function as a handler: semantics need not know about dispatch.
template <void (*F)(Cpu&, const Insn&)>
const Insn* step(Cpu& c, const Insn* i) {
  c.cur = i;
  F(c, *i);
  return i + 1;
}
template <void (*F)(Cpu&, const Insn&)>
const Insn* step_flow(Cpu& c, const Insn* i) {
  begin_flow(c, i);
  F(c, *i);
  return end_flow(c);
}

}  // namespace twinstep::soft
