// External interrupts and NMI: where exactly they are taken, what holds them back, what they leave.
// The test machine raises the line a given number of instructions after it was asked (EVENT_PORT).
#include "metal.h"

static volatile u64 taken, last_rip, last_vector;
static struct frame last;
static u64 last_at;

static bool take(struct frame *f) {
  taken++;
  last = *f;
  last_at = (u64)&f->error;
  last_rip = f->rip;
  last_vector = f->vector;
  return true;
}

static void listen(u8 vector) {
  on_trap(vector, take);
  taken = 0;
}

// Asks for an interrupt, then runs a sled of NOPs with interrupts on. RDI: vector | delay << 8.
asm(".pushsection .text\n"
    ".globl sled_run, sled, sled_end\n"
    "sled_run: mov dx, 0x500\nmov eax, edi\nsti\nnop\nout dx, eax\n"
    "sled: .rept 40\nnop\n.endr\nsled_end: cli\nret\n"
    // The same with interrupts off until STI.
    ".globl held_run, held_sti\n"
    "held_run: mov dx, 0x500\nmov eax, edi\nout dx, eax\nnop\nnop\n"
    "held_sti: sti\nnop\nnop\ncli\nret\n"
    ".globl sti_cli\nsti_cli: mov dx, 0x500\nmov eax, edi\nout dx, eax\n"
    ".rept 10\nsti\ncli\n.endr\nret\n"
    ".globl popf_run, popf_at\n"
    "popf_run: mov dx, 0x500\nmov eax, edi\nout dx, eax\npushfq\nor qword ptr [rsp], 0x200\npopfq\n"
    "popf_at: nop\ncli\nret\n"
    // MOV SS holds back for one instruction, also debug traps and NMI.
    ".globl mov_ss_run, mov_ss_at\n"
    "mov_ss_run: mov dx, 0x500\nmov eax, edi\nmov ecx, ss\nsti\nnop\nout dx, eax\n"
    "mov ss, ecx\nmov_ss_at: nop\nnop\nnop\ncli\nret\n"
    ".globl sti_hlt, after_hlt\n"
    "sti_hlt: mov dx, 0x500\nmov eax, edi\nout dx, eax\nsti\nhlt\nafter_hlt: cli\nret\n"
    ".globl rep_run, rep_at\n"
    "rep_run: mov dx, 0x500\nmov eax, edi\nlea rdi, [pool]\nlea rsi, [pool + 2048]\nmov ecx, 100\n"
    "sti\nnop\nout dx, eax\nrep_at: rep movsb\ncli\nret\n"
    ".globl nmi_run, nmi_sled\n"
    "nmi_run: mov dx, 0x504\nmov eax, edi\nout dx, eax\nnmi_sled: .rept 20\nnop\n.endr\nret\n"
    ".globl user_spin\nuser_spin: mov ecx, 1000\n1: dec ecx\njnz 1b\nint 0x80\n"
    ".popsection\n");
void sled_run(u64), held_run(u64), sti_cli(u64), popf_run(u64), mov_ss_run(u64), sti_hlt(u64);
void rep_run(u64), nmi_run(u64), user_spin(u64);
extern u8 sled[], sled_end[], held_sti[], popf_at[], mov_ss_at[], after_hlt[], rep_at[], nmi_sled[];

enum { VECTOR = 0x40 };
#define AFTER(delay) (VECTOR | (delay) << 8)

static void positions(void) {
  listen(VECTOR);
  CASE("an interrupt is taken exactly where the line rises") {
    for (u64 delay = 0; delay < 30; delay++) {
      taken = 0;
      sled_run(AFTER(delay));
      SAME(taken, 1);
      SAME(last_rip, (u64)sled + delay);
      SAME(last.cs, CODE64);
      SAME(last.rflags & FLAG_IF, FLAG_IF);
      SAME(last.error, 0);
    }
  }
  CASE("IF holds it back, STI for one instruction more") {
    for (u64 delay = 0; delay < 3; delay++) {
      taken = 0;
      held_run(AFTER(delay));
      SAME(taken, 1);
      SAME(last_rip, (u64)held_sti + 2);
    }
    taken = 0;
    held_run(AFTER(4));
    SAME(last_rip, (u64)held_sti + 2);
    held_run(AFTER(5));
    SAME(last_rip, (u64)held_sti + 3);
  }
  CASE("STI directly before CLI lets nothing in") {
    taken = 0;
    sti_cli(AFTER(0));
    SAME(taken, 0);
    asm volatile("sti\nnop\nnop\ncli");
    SAME(taken, 1);
  }
  CASE("POPF has no shadow") {
    popf_run(AFTER(0));
    SAME(last_rip, (u64)popf_at);
  }
  CASE("MOV SS holds everything back for one instruction") {
    mov_ss_run(AFTER(1));
    SAME(last_rip, (u64)mov_ss_at + 1);
    mov_ss_run(AFTER(2));
    SAME(last_rip, (u64)mov_ss_at + 1);
    mov_ss_run(AFTER(3));
    SAME(last_rip, (u64)mov_ss_at + 2);
  }
  CASE("HLT: wakes for an interrupt, which returns behind it") {
    for (u64 delay = 0; delay < 20; delay += 2) {
      taken = 0;
      sti_hlt(AFTER(delay));
      SAME(taken, 1);
      SAME(last_rip, (u64)after_hlt);
    }
  }
  CASE("REP: between two iterations, with the registers of that moment") {
    for (u64 delay = 0; delay < 100; delay += 7) {
      fill(pool[0], 0, 4096);
      fill(pool[0] + 2048, 0x5a, 100);
      rep_run(AFTER(delay));
      SAME(last_rip, (u64)rep_at);
      SAME(last.rcx, 100 - delay);
      SAME(last.rdi, (u64)pool + delay);
      SAME(last.rsi, (u64)pool + 2048 + delay);
      for (u64 n = 0; n < 100; n++) SAME(pool[0][n], 0x5a);
    }
  }
}

// ---- gates, stacks, privilege --------------------------------------------------------------------
static u64 flags_in_handler;
static bool look_at_flags(struct frame *f) {
  u64 flags;
  asm volatile("pushfq\npop %0" : "=r"(flags));
  flags_in_handler = flags;
  return take(f);
}

static void gates(void) {
  on_trap(VECTOR, look_at_flags);
  CASE("an interrupt gate clears IF, a trap gate does not") {
    sled_run(AFTER(3));
    SAME(flags_in_handler & FLAG_IF, 0);
    set_gate(VECTOR, (u64)trap_stubs + VECTOR * 16, 0x8f, 0);
    sled_run(AFTER(3));
    SAME(flags_in_handler & FLAG_IF, FLAG_IF);
    reset_gates();
  }
  CASE("IST switches the stack even without a change of privilege") {
    set_gate(VECTOR, (u64)trap_stubs + VECTOR * 16, 0x8e, 2);
    sled_run(AFTER(1));
    SAME(last_at, IST2_STACK - 48);
    SAME(last.ss, DATA);
    reset_gates();
  }
  CASE("in user mode: RSP0, then back to where it was") {
    struct user u = {(u64)user_spin, USER64, 2 | FLAG_IF, USER_STACK - 24, USERDATA, 0, 0};
    listen(VECTOR);
    out32(EVENT_PORT, AFTER(400));
    SAME(run_user_as(&u), LEAVE);
    SAME(taken, 1);
    SAME(last.cs, USER64);
    SAME(last.ss, USERDATA);
    SAME(last.rsp, USER_STACK - 24);
    SAME(last_at, KERNEL_STACK - 48);
    CHECK(last.rcx > 100 && last.rcx < 1000);
  }
  CASE("the stack is aligned to 16 bytes before the frame is pushed") {
    for (u64 off = 0; off < 16; off += 3) {
      u64 saved;
      listen(VECTOR);
      asm volatile("mov %0, rsp\nsub rsp, %1\nmov edi, %2\nmov edx, 0x500\nmov eax, edi\nsti\nnop\n"
                   "out dx, eax\nnop\nnop\ncli\nmov rsp, %0"
                   : "=&r"(saved)
                   : "r"(off + 160), "i"(AFTER(0))
                   : "rax", "rdx", "rdi", "memory");
      SAME(taken, 1);
      SAME(last_at & 15, 0);
      SAME(last.rsp, saved - off - 160);
    }
  }
}

// ---- several at once -----------------------------------------------------------------------------
static u64 order[8];
static bool note_order(struct frame *f) {
  if (taken < 8) order[taken] = f->vector;
  return take(f);
}

static void several(void) {
  CASE("lines that rise together are served one after the other") {
    for (u8 v = 0; v < 3; v++) on_trap(VECTOR + v, note_order);
    taken = 0;
    for (u32 v = 0; v < 3; v++) out32(EVENT_PORT, (VECTOR + v) | 20 << 8);
    asm volatile(".rept 40\nnop\n.endr\nsti\nnop\nnop\ncli");
    SAME(taken, 3);
    SAME(order[0], VECTOR);
    SAME(order[2], VECTOR + 2);
  }
  CASE("a hundred interrupts in a busy loop lose nothing") {
    listen(VECTOR);
    for (u32 n = 0; n < 100; n++) out32(EVENT_PORT, AFTER(n * 37));
    u64 sum = 0;
    asm volatile("sti");
    while (taken < 100) sum++;
    asm volatile("cli");
    SAME(taken, 100);
  }
}

// ---- NMI -----------------------------------------------------------------------------------------
static volatile u64 nmis, nmis_when_second_came, depth, depth_max;
static bool count_nmi(struct frame *f) {
  nmis++;
  depth++;
  if (depth > depth_max) depth_max = depth;
  if (nmis == 1 && last_vector == 99) {  // asks for another one while this one is served
    out32(NMI_PORT, 2);
    asm volatile(".rept 20\nnop\n.endr");
    nmis_when_second_came = nmis;
  }
  depth--;
  last_rip = f->rip;
  return true;
}

static void non_maskable(void) {
  on_trap(NMI, count_nmi);
  CASE("NMI comes with IF clear, on its IST") {
    nmis = 0;
    last_vector = 0;
    nmi_run(5);
    SAME(nmis, 1);
    SAME(last_rip, (u64)nmi_sled + 5);
  }
  CASE("a second NMI waits for the IRET of the first") {
    nmis = 0;
    depth_max = 0;
    last_vector = 99;
    nmi_run(5);
    asm volatile("nop\nnop\nnop");
    SAME(nmis_when_second_came, 1);
    SAME(nmis, 2);
    SAME(depth_max, 1);
    SAME(last_rip, (u64)nmi_sled + 5);  // the second came right behind the IRET
  }
  CASE("NMI wakes HLT") {
    nmis = 0;
    last_vector = 0;
    out32(NMI_PORT, 3);
    asm volatile("hlt");
    SAME(nmis, 1);
  }
}

void guest_main(void) {
  positions();
  gates();
  several();
  non_maskable();
}
