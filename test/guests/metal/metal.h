// What every bare-metal guest has: text out, checks, traps that can be caught, page tables.
//
// A guest is a list of CASEs. It says "name: ok" or what went wrong, then leaves by the debug exit
// port. `attempt` runs something that may trap; SNIPPET makes that something out of assembly.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef long i64;
typedef _Bool bool;
#define true 1
#define false 0
#define PACKED __attribute__((packed))
#define PAGE __attribute__((aligned(4096)))

enum { TEXT_PORT = 0xe9, EXIT_PORT = 0xf4 };
// The test machine behind the ports (test/softcpu/machine.ts). Other machines have none of it.
enum {
  EVENT_PORT = 0x500,      // u32: vector | delay << 8; the line rises `delay` instructions later
  NMI_PORT = 0x504,        // u32: delay
  POKE_ADDRESS = 0x510,    // u32 address, then u32 value: the machine writes it into memory
  POKE_VALUE = 0x514,
  PORT_RAM = 0x600,        // 256 ports that remember
  FIFO_PORT = 0x700,       // what goes in comes out, at any width
  LOG_COUNT = 0x780,       // MMIO accesses since the last read of this port
  LOG_LAST = 0x784,        // the last one: bytes | write << 8 | address low << 16
};
#define MMIO ((volatile u8 *)0xe0000000)  // 64 KiB that remember

enum { CODE32 = 0x08, CODE64 = 0x10, DATA = 0x18, USER32 = 0x23, USERDATA = 0x2b, USER64 = 0x33,
       CODE16 = 0x40, DATA16 = 0x48, TSS_SELECTOR = 0x50, TEST_SELECTOR = 0x60 };
enum { DE, DB, NMI, BP, OF, BR, UD, NM, DF, TS = 10, NP, SS, GP, PF, MF = 16, AC, XM = 19,
       LEAVE = 0x80 };
enum { FLAG_CF = 1, FLAG_ZF = 0x40, FLAG_TF = 0x100, FLAG_IF = 0x200, FLAG_DF = 0x400,
       FLAG_NT = 0x4000, FLAG_RF = 0x10000, FLAG_AC = 0x40000 };

// ---- text and verdicts -----------------------------------------------------------------------
void say(const char *text);
void say_hex(u64 value);
void begin_case(const char *name);
void check(bool ok, const char *what, const char *file, int line);
void same(u64 actual, u64 expected, const char *what, const char *file, int line);
void finish(void) __attribute__((noreturn));
#define CASE(name) for (int once_ = (begin_case(name), 1); once_; once_ = 0)
#define CHECK(condition) check(condition, #condition, __FILE_NAME__, __LINE__)
#define SAME(actual, expected) \
  same((u64)(actual), (u64)(expected), #actual, __FILE_NAME__, __LINE__)
// Whether this is our engine and our test machine, which promise more than the architecture.
bool on_test_machine(void);

// ---- traps -----------------------------------------------------------------------------------
struct frame {
  u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
  u64 vector, error, rip, cs, rflags, rsp, ss;
};
struct caught {
  struct frame f;
  u64 cr2, at;  // where the frame itself lay
};
extern struct caught caught;
bool attempt(void (*fn)(u64), u64 arg);
// Handlers of a vector; true: go on behind the trap with the (changed) frame.
typedef bool (*handler)(struct frame *);
void on_trap(u8 vector, handler h);
void set_gate(u8 vector, u64 target, u8 type_dpl, u8 ist);
void reset_gates(void);
extern u8 trap_stubs[];

// A function of one argument (RDI) made of assembly; `name_at` is the address of its last part.
#define SNIPPET(name, before, last)                                                        \
  asm(".pushsection .text\n.globl " #name ", " #name "_at\n" #name ":\n" before "\n" #name \
      "_at:\n" last "\nret\n.popsection\n");                                               \
  extern void name(u64);                                                                   \
  extern u8 name##_at[]

// `fn` must trap so, at its last part.
#define TRAPS(fn, arg, vec, err)            \
  do {                                      \
    CHECK(attempt(fn, (u64)(arg)));         \
    SAME(caught.f.vector, vec);             \
    SAME(caught.f.error, err);              \
    SAME(caught.f.rip, (u64)fn##_at);       \
  } while (0)
#define RUNS(fn, arg) CHECK(!attempt(fn, (u64)(arg)))

struct user {
  u64 rip, cs, rflags, rsp, ss, rdi, rsi;
};
void enter_user(u64 user);
// Runs user code until it traps; `int 0x80` is the polite way out. Says the vector.
u64 run_user(void (*code)(u64), u64 arg);
u64 run_user_as(struct user *u);
// Tops of stacks: of user code, and of the TSS.
extern u8 stacks[4][8192];
#define USER_STACK ((u64)stacks[1])
#define KERNEL_STACK ((u64)stacks[2])
#define IST1_STACK ((u64)stacks[3])
#define IST2_STACK ((u64)stacks[4])

// ---- tables ----------------------------------------------------------------------------------
struct tss {
  u32 zero;
  u64 rsp[3];
  u64 reserved;
  u64 ist[7];
  u64 reserved2;
  u16 reserved3, io_base;
  u8 io_map[8193];
} PACKED;
extern struct tss tss;
extern u64 gdt[];
extern u64 boot_pml4[512], boot_pdpt[512], boot_pd[4][512];
extern u8 ist1_top[], ist2_top[], kernel_stack_top[];
enum { P = 1, W = 2, U = 4, PWT = 8, PCD = 16, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
#define NX (1ul << 63)

// A scratch region of 4 KiB pages at SPACE, PML4 slot 1: space_pt[n] maps SPACE + n * 4096.
#define SPACE 0x8000000000ul
extern u64 space_pdpt[512], space_pd[512], space_pt[512];
void map_space(void);
static inline u64 page(u64 n) { return SPACE + n * 4096; }
// Physical pages for whatever a guest likes.
extern u8 pool[16][4096];
static inline u64 frame_of(u64 n) { return (u64)pool[n]; }

// ---- instructions ----------------------------------------------------------------------------
static inline void out8(u16 port, u8 v) { asm volatile("out dx, al" ::"d"(port), "a"(v)); }
static inline void out16(u16 port, u16 v) { asm volatile("out dx, ax" ::"d"(port), "a"(v)); }
static inline void out32(u16 port, u32 v) { asm volatile("out dx, eax" ::"d"(port), "a"(v)); }
static inline u8 in8(u16 port) {
  u8 v;
  asm volatile("in al, dx" : "=a"(v) : "d"(port));
  return v;
}
static inline u32 in32(u16 port) {
  u32 v;
  asm volatile("in eax, dx" : "=a"(v) : "d"(port));
  return v;
}
static inline u64 rdmsr(u32 n) {
  u32 lo, hi;
  asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(n));
  return lo | (u64)hi << 32;
}
static inline void wrmsr(u32 n, u64 v) {
  asm volatile("wrmsr" ::"c"(n), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}
static inline void cpuid(u32 leaf, u32 sub, u32 out[4]) {
  asm volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "a"(leaf), "c"(sub));
}
#define READ_CR(n) ({ u64 v_; asm volatile("mov %0, cr" #n : "=r"(v_)); v_; })
#define WRITE_CR(n, v) asm volatile("mov cr" #n ", %0" ::"r"((u64)(v)) : "memory")
#define READ_DR(n) ({ u64 v_; asm volatile("mov %0, dr" #n : "=r"(v_)); v_; })
#define WRITE_DR(n, v) asm volatile("mov dr" #n ", %0" ::"r"((u64)(v)) : "memory")
static inline void invlpg(u64 at) { asm volatile("invlpg [%0]" ::"r"(at) : "memory"); }
static inline void flush(void) { WRITE_CR(3, READ_CR(3)); }
static inline void set_pte(u64 *pte, u64 value, u64 at) {
  *(volatile u64 *)pte = value;
  invlpg(at);
}
static inline u64 read64(u64 at) { return *(volatile u64 *)at; }
static inline void write64(u64 at, u64 v) { *(volatile u64 *)at = v; }
static inline u8 read8(u64 at) { return *(volatile u8 *)at; }
static inline void write8(u64 at, u8 v) { *(volatile u8 *)at = v; }
static inline void copy(void *to, const void *from, u64 n) {
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
}
static inline void fill(void *to, u8 v, u64 n) {
  asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(v) : "memory");
}

void guest_main(void);
