// Faults without end, each in another place, with interrupts between them: on a PC (not the test machine),
// for recordings that are kicked all the time. A fault and its delivery count no instruction, so around
// them many states share one position. `trace` remembers what was seen where; 'q' on COM1 ends it.
#include "metal.h"

enum { COM1 = 0x3f8, TIMER = 0x20, SERIAL = 0x24, PAGES = 12, HANDLER_PAGE = 40 };

u64 trace = 14695981039346656037u, faults, interrupts, rounds;
static volatile bool leaves;

static void note(u64 fact) { trace = (trace ^ fact) * 1099511628211u; }

static void note_frame(struct frame *f) {
  note(f->vector);
  note(f->rip);
  note(f->rflags);
  note(f->rcx);
  note(f->rsp);
}

static bool tick(struct frame *f) {
  note_frame(f);
  interrupts++;
  out8(0x20, 0x20);
  return true;
}

static bool heard(struct frame *f) {
  note_frame(f);
  interrupts++;
  while (in8(COM1 + 5) & 1) {
    u8 byte = in8(COM1);
    note(byte);
    leaves |= byte == 'q';
    out8(COM1, byte);
  }
  out8(0x20, 0x20);
  return true;
}

static bool nmi(struct frame *f) {
  note_frame(f);
  interrupts++;
  return true;
}

// The page is there the next time.
static bool page_fault(struct frame *f) {
  note_frame(f);
  faults++;
  u64 n = (READ_CR(2) - SPACE) / 4096;
  note(n);
  set_pte(&space_pt[n], frame_of(n == HANDLER_PAGE ? 15 : n % 15) | P | W | U, page(n));
  return true;
}

// UD2 is two bytes, so is DIV ECX.
static bool pass_two(struct frame *f) {
  note_frame(f);
  faults++;
  f->rip += 2;
  return true;
}

static void forget_pages(void) {
  for (u64 n = 0; n < PAGES; n++) set_pte(&space_pt[n], 0, page(n));
}

// The handler of #UD begins on a page that is not there: a fault before its first instruction.
static void hide_handler(void) {
  u32 stub = (u32)(u64)(trap_stubs + UD * 16);
  u8 code[] = {0x68, (u8)stub, (u8)(stub >> 8), (u8)(stub >> 16), (u8)(stub >> 24), 0xc3};
  copy(pool[15], code, sizeof code);  // push stub; ret
  set_gate(UD, page(HANDLER_PAGE), 0x8e, 0);
}

SNIPPET(user_reads, "mov rax, [rdi]\nmov [rdi + 4096], rax", "int 0x80");

static void stumble(void) {
  u64 time_low;
  forget_pages();
  for (u64 n = 0; n < 4; n++) write64(page(n) + 8 * (rounds % 500), trace);
  copy((u8 *)page(6) + 4000, (u8 *)page(4) + 3990, 5000);  // faults in the middle of a REP
  for (u32 n = 0; n < 8; n++) {
    set_pte(&space_pt[HANDLER_PAGE], 0, page(HANDLER_PAGE));
    asm volatile("ud2\nnop\nud2\nud2");
    asm volatile("xor ecx, ecx\ndiv ecx" ::: "rcx", "rax", "rdx", "cc");
  }
  asm volatile("rdtsc" : "=a"(time_low)::"rdx");
  note(time_low);
  struct user u = {(u64)user_reads, USER64, 2 | FLAG_IF, USER_STACK, USERDATA, page(9), 0};
  note(run_user_as(&u));
  asm volatile("sti");
  if (rounds % 16 == 0) asm volatile("hlt");
  if (rounds % 8 == 0) out8(COM1, (u8)('a' + trace % 26));
  rounds++;
}

static void start_devices(void) {
  static const u8 master[] = {0x20, 0x04, 0x01}, slave[] = {0x28, 0x02, 0x01};
  out8(0x20, 0x11);
  out8(0xa0, 0x11);
  for (u32 n = 0; n < 3; n++) {
    out8(0x21, master[n]);
    out8(0xa1, slave[n]);
  }
  out8(0x21, 0xee);  // timer and COM1
  out8(0xa1, 0xff);
  out8(0x43, 0x34);
  out8(0x40, 0x53);
  out8(0x40, 0x01);  // 339 ticks: 3.5 kHz
  out8(COM1 + 3, 3);
  out8(COM1 + 2, 1);
  out8(COM1 + 1, 1);
  out8(COM1 + 4, 8);
}

void guest_main(void) {
  on_trap(TIMER, tick);
  on_trap(SERIAL, heard);
  on_trap(NMI, nmi);
  on_trap(PF, page_fault);
  on_trap(UD, pass_two);
  on_trap(DE, pass_two);
  hide_handler();
  start_devices();
  asm volatile("sti");
  while (!leaves) stumble();
  asm volatile("cli");
  CHECK(faults > rounds * 40);
  out8(EXIT_PORT, 0);
}
