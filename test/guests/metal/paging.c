// Paging in long mode: error codes, rights over all levels, A and D bits, large pages, NX, SMEP.
// SPACE (metal.h) is the region under test; pool pages are the memory behind it.
#include "metal.h"

SNIPPET(load, "", "mov rax, [rdi]");
SNIPPET(store, "", "mov [rdi], rax");
SNIPPET(load_byte, "", "mov al, [rdi]");
SNIPPET(update, "", "add qword ptr [rdi], 1");
SNIPPET(locked, "", "lock xadd [rdi], rax");
SNIPPET(compare_exchange, "mov rax, -1", "lock cmpxchg [rdi], rcx");
SNIPPET(push_to, "lea rsi, [rsp]\nlea rsp, [rdi + 8]", "push rax\nmov rsp, rsi");
SNIPPET(load_stack, "mov rbp, rdi", "mov rax, [rbp]");
SNIPPET(load16, "", "movdqu xmm0, [rdi]");
SNIPPET(jump_to, "pop rax\npush rax", "jmp rdi");
SNIPPET(call_to, "", "call rdi");
// User code: touch, then leave politely.
SNIPPET(user_load, "", "mov rax, [rdi]\nint 0x80");
SNIPPET(user_store, "", "mov [rdi], rax\nint 0x80");

enum { PRESENT = 1, WRITE = 2, USER = 4, RESERVED = 8, FETCH = 16 };

static void expect_fault(void (*fn)(u64), u8 *at, u64 address, u64 error, int line) {
  bool trapped = attempt(fn, address);
  check(trapped, "trapped", "paging.c", line);
  if (!trapped) return;
  same(caught.f.vector, PF, "vector", "paging.c", line);
  same(caught.f.error, error, "error code", "paging.c", line);
  same(caught.f.rip, (u64)at, "rip", "paging.c", line);
  same(caught.cr2, address, "cr2", "paging.c", line);
}
#define FAULTS(fn, address, error) expect_fault(fn, fn##_at, address, error, __LINE__)
#define FETCH_FAULTS(address, error) \
  expect_fault(jump_to, (u8 *)(address), address, error, __LINE__)

static void user_faults(void (*fn)(u64), u8 *at, u64 address, u64 error, int line) {
  u64 vector = run_user(fn, address);
  same(vector, PF, "vector in user mode", "paging.c", line);
  same(caught.f.error, error, "error code in user mode", "paging.c", line);
  same(caught.f.rip, (u64)at, "rip in user mode", "paging.c", line);
  same(caught.cr2, address, "cr2 in user mode", "paging.c", line);
}
#define USER_FAULTS(fn, address, error) user_faults(fn, fn##_at, address, error, __LINE__)
#define USER_FETCH_FAULTS(address, error) \
  user_faults((void (*)(u64))(address), (u8 *)(address), address, error, __LINE__)

static void pte(u64 n, u64 value) { set_pte(&space_pt[n], value, page(n)); }

static void absent_pages(void) {
  map_space();
  CASE("an absent page faults with the access in the error code") {
    u64 at = page(3) + 0x123;
    FAULTS(load, at, 0);
    FAULTS(store, at, WRITE);
    FETCH_FAULTS(at, FETCH);
    USER_FAULTS(user_load, at, USER);
    USER_FAULTS(user_store, at, USER | WRITE);
    USER_FETCH_FAULTS(at, USER | FETCH);
  }
  CASE("absent at any level is the same fault") {
    u64 in_pd = SPACE + (5ul << 21), in_pdpt = SPACE + (7ul << 30), in_pml4 = SPACE << 3;
    FAULTS(load, in_pd + 8, 0);
    FAULTS(store, in_pdpt + 16, WRITE);
    FAULTS(load, in_pml4, 0);
  }
  CASE("an access over two pages faults at the second page and changes nothing") {
    pte(0, frame_of(0) | P | W | U);
    u64 at = page(0) + 4092;
    *(volatile u32 *)at = 0x11223344;
    bool trapped = attempt(store, at);
    CHECK(trapped);
    SAME(caught.cr2, page(1));
    SAME(caught.f.error, WRITE);
    SAME(*(volatile u32 *)at, 0x11223344);
    CHECK(attempt(load16, page(0) + 4081));
    SAME(caught.cr2, page(1));
    SAME(caught.f.error, 0);
  }
  CASE("and at the first page if that one is absent") {
    pte(1, 0);
    pte(2, frame_of(1) | P | W | U);
    CHECK(attempt(load, page(1) + 4090));
    SAME(caught.cr2, page(1) + 4090);
  }
  CASE("addresses that are not canonical are #GP, on the stack #SS") {
    TRAPS(load, 1ul << 47, GP, 0);
    TRAPS(store, 0xfffe000000000000, GP, 0);
    TRAPS(load_stack, 1ul << 47, SS, 0);
    if (on_test_machine()) TRAPS(load, (1ul << 47) - 4, GP, 0);
  }
}

static void rights(void) {
  map_space();
  CASE("read-only pages: CR0.WP binds the supervisor, the user always") {
    pte(0, frame_of(0) | P | U);
    RUNS(load, page(0));
    FAULTS(store, page(0), PRESENT | WRITE);
    USER_FAULTS(user_store, page(0), PRESENT | WRITE | USER);
    WRITE_CR(0, READ_CR(0) & ~(1ul << 16));
    RUNS(store, page(0));
    USER_FAULTS(user_store, page(0), PRESENT | WRITE | USER);
    WRITE_CR(0, READ_CR(0) | 1ul << 16);
    FAULTS(store, page(0), PRESENT | WRITE);
  }
  CASE("read-modify-write is a write, also where it would not change anything") {
    FAULTS(locked, page(0) + 8, PRESENT | WRITE);
    FAULTS(compare_exchange, page(0) + 8, PRESENT | WRITE);
    if (on_test_machine()) {  // some other machines read first and report that
      FAULTS(update, page(0) + 8, PRESENT | WRITE);
      FAULTS(update, page(9), WRITE);
    }
  }
  CASE("supervisor pages are closed to the user") {
    pte(1, frame_of(1) | P | W);
    RUNS(store, page(1));
    USER_FAULTS(user_load, page(1), PRESENT | USER);
    USER_FAULTS(user_store, page(1), PRESENT | WRITE | USER);
    USER_FETCH_FAULTS(page(1), PRESENT | USER | FETCH);
  }
  CASE("NX stops fetches only, in every privilege") {
    pte(2, frame_of(2) | P | W | U | NX);
    *(u8 *)frame_of(2) = 0xc3;
    RUNS(store, page(2) + 8);
    FETCH_FAULTS(page(2), PRESENT | FETCH);
    USER_FETCH_FAULTS(page(2), PRESENT | USER | FETCH);
    pte(2, frame_of(2) | P | W | U);
    RUNS(call_to, page(2));
  }
  CASE("rights are the intersection over all levels") {
    pte(3, frame_of(3) | P | W | U);
    RUNS(store, page(3));
    SAME(run_user(user_store, page(3)), LEAVE);
    u64 *level[] = {&boot_pml4[1], &space_pdpt[0], &space_pd[0]};
    for (u32 n = 0; n < 3; n++) {
      u64 good = *level[n];
      set_pte(level[n], good & ~(u64)U, page(3));
      flush();
      USER_FAULTS(user_load, page(3), PRESENT | USER);
      RUNS(store, page(3));
      set_pte(level[n], good & ~(u64)W, page(3));
      flush();
      FAULTS(store, page(3), PRESENT | WRITE);
      RUNS(load, page(3));
      set_pte(level[n], good | NX, page(3));
      flush();
      *(u8 *)frame_of(3) = 0xc3;
      FETCH_FAULTS(page(3), PRESENT | FETCH);
      set_pte(level[n], good, page(3));
      flush();
    }
    SAME(run_user(user_store, page(3)), LEAVE);
  }
}

static void reserved(void) {
  map_space();
  CASE("reserved bits fault as such at every level") {
    pte(0, frame_of(0) | P | W | U | 1ul << 51);
    FAULTS(load, page(0), PRESENT | RESERVED);
    FAULTS(store, page(0), PRESENT | RESERVED | WRITE);
    USER_FAULTS(user_load, page(0), PRESENT | RESERVED | USER);
    pte(0, frame_of(0) | P | W | U);
    u64 good = space_pd[0];
    set_pte(&space_pd[0], good | 1ul << 50, page(0));
    FAULTS(load, page(0), PRESENT | RESERVED);
    set_pte(&space_pd[0], good, page(0));
    good = boot_pml4[1];
    set_pte(&boot_pml4[1], good | PS, page(0));
    flush();
    FAULTS(load, page(0), PRESENT | RESERVED);
    set_pte(&boot_pml4[1], good, page(0));
    flush();
    RUNS(load, page(0));
  }
  CASE("low bits of a large frame are reserved") {
    u64 at = SPACE + (1ul << 21);
    set_pte(&space_pd[1], 0x2000 | PS | P | W, at);
    FAULTS(load, at, PRESENT | RESERVED);
    set_pte(&space_pd[1], 0x200000 | PS | P | W, at);
    RUNS(load, at);
    at = SPACE + (1ul << 30);
    set_pte(&space_pdpt[1], 0x200000 | PS | P | W, at);
    FAULTS(load, at, PRESENT | RESERVED);
    set_pte(&space_pdpt[1], 0, at);
  }
  CASE("without EFER.NXE bit 63 is reserved and fetches are not told apart") {
    pte(1, frame_of(1) | P | W | U | NX);
    wrmsr(0xc0000080, rdmsr(0xc0000080) & ~(1ul << 11));
    FAULTS(load, page(1), PRESENT | RESERVED);
    FETCH_FAULTS(page(4), 0);
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 1ul << 11);
    RUNS(load, page(1));
  }
  CASE("reserved bits of an absent entry are the guest's own") {
    pte(2, 0x000ffffffffffffe & ~(u64)P);
    FAULTS(load, page(2), 0);
  }
}

static void accessed_dirty(void) {
  map_space();
  CASE("reading sets A at every level, writing also D at the last") {
    pte(0, frame_of(0) | P | W | U);
    RUNS(load, page(0));
    SAME(space_pt[0], frame_of(0) | P | W | U | A);
    SAME(space_pd[0] & (A | D), A);
    SAME(space_pdpt[0] & (A | D), A);
    SAME(boot_pml4[1] & (A | D), A);
    RUNS(store, page(0));
    SAME(space_pt[0], frame_of(0) | P | W | U | A | D);
    SAME(space_pd[0] & (A | D), A);
  }
  CASE("bits cleared by the guest come back at the next access") {
    pte(0, frame_of(0) | P | W | U);
    RUNS(load_byte, page(0) + 9);
    SAME(space_pt[0] & (A | D), A);
    pte(0, space_pt[0] & ~(u64)A);
    RUNS(store, page(0));
    SAME(space_pt[0] & (A | D), A | D);
  }
  CASE("a fetch sets A") {
    *(u8 *)frame_of(1) = 0xc3;
    pte(1, frame_of(1) | P | U);
    RUNS(call_to, page(1));
    SAME(space_pt[1] & (A | D), A);
  }
  CASE("a refused write sets neither D nor changes memory") {
    pte(2, frame_of(2) | P | U);
    write64(frame_of(2), 77);
    FAULTS(store, page(2), PRESENT | WRITE);
    SAME(space_pt[2] & D, 0);
    SAME(read64(frame_of(2)), 77);
  }
  CASE("a push, a user's store and a locked access set D too") {
    for (u64 n = 3; n < 6; n++) pte(n, frame_of(n) | P | W | U);
    RUNS(push_to, page(3) + 64);
    SAME(run_user(user_store, page(4)), LEAVE);
    RUNS(locked, page(5));
    for (u64 n = 3; n < 6; n++) SAME(space_pt[n] & (A | D), A | D);
  }
}

static void large_pages(void) {
  map_space();
  u64 target = 0x200000;  // free memory behind the image
  CASE("2 MiB pages: address, rights, A and D") {
    u64 at = SPACE + (2ul << 21);
    set_pte(&space_pd[2], target | PS | P | W, at);
    write64(target + 0x12345 * 8, 0xabcdef);
    SAME(read64(at + 0x12345 * 8), 0xabcdef);
    SAME(space_pd[2] & (A | D), A);
    write64(at + 0x1ffff8, 0x77);
    SAME(read64(target + 0x1ffff8), 0x77);
    SAME(space_pd[2] & (A | D), A | D);
    set_pte(&space_pd[2], target | PS | P | NX, at);
    FAULTS(store, at + 0x5000, PRESENT | WRITE);
    FETCH_FAULTS(at + 0x5000, PRESENT | FETCH);
    USER_FAULTS(user_load, at + 0x5000, PRESENT | USER);
  }
  CASE("an access from one large page into the next, which lies elsewhere") {
    u64 at = SPACE + (2ul << 21);
    set_pte(&space_pd[2], target | PS | P | W, at);
    set_pte(&space_pd[3], target | PS | P | W, at + (1ul << 21));
    write64(at + 0x1ffffc, 0x1122334455667788);
    SAME(*(volatile u32 *)(target + 0x1ffffc), 0x55667788);
    SAME(*(volatile u32 *)target, 0x11223344);
    SAME(read64(at + 0x1ffffc), 0x1122334455667788);
  }
  CASE("1 GiB pages") {
    u64 at = SPACE + (3ul << 30);
    set_pte(&space_pdpt[3], 0 | PS | P | W, at);
    write64(target + 0x98, 0x5151);
    SAME(read64(at + target + 0x98), 0x5151);
    write64(at + target + 0x98, 0x6161);
    SAME(read64(target + 0x98), 0x6161);
    SAME(space_pdpt[3] & (A | D), A | D);
  }
  CASE("a large page split into small ones") {
    u64 at = SPACE + (2ul << 21);
    write64(at + 0x3008, 1);
    fill(space_pt, 0, sizeof space_pt);
    space_pt[3] = frame_of(6) | P | W;
    set_pte(&space_pd[2], (u64)space_pt | P | W, at);
    flush();
    write64(at + 0x3008, 99);
    SAME(read64(frame_of(6) + 8), 99);
    SAME(read64(target + 0x3008), 1);
    FAULTS(load, at + 0x4000, 0);
  }
}

static void changes(void) {
  map_space();
  CASE("a changed entry takes effect with INVLPG") {
    write64(frame_of(0), 100);
    write64(frame_of(1), 101);
    pte(0, frame_of(0) | P | W);
    SAME(read64(page(0)), 100);
    pte(0, frame_of(1) | P | W);
    SAME(read64(page(0)), 101);
    write64(page(0), 102);
    SAME(read64(frame_of(1)), 102);
    SAME(read64(frame_of(0)), 100);
    pte(0, frame_of(1) | P);
    FAULTS(store, page(0), PRESENT | WRITE);
    pte(0, 0);
    FAULTS(load, page(0), 0);
  }
  CASE("and with a new CR3") {
    for (u64 n = 0; n < 8; n++) space_pt[n] = frame_of(n) | P | W;
    flush();
    for (u64 n = 0; n < 8; n++) write64(page(n), n);
    for (u64 n = 0; n < 8; n++) space_pt[n] = frame_of(7 - n) | P | W;
    flush();
    for (u64 n = 0; n < 8; n++) SAME(read64(page(n)), 7 - n);
  }
  CASE("tables changed through an alias of themselves") {
    space_pt[9] = (u64)space_pt | P | W;
    space_pt[10] = frame_of(2) | P | W;
    flush();
    write64(frame_of(2), 0x22);
    write64(frame_of(3), 0x33);
    SAME(read64(page(10)), 0x22);
    write64(page(9) + 10 * 8, frame_of(3) | P | W);
    invlpg(page(10));
    SAME(read64(page(10)), 0x33);
  }
  CASE("two addresses of one page see each other's stores") {
    pte(11, frame_of(4) | P | W);
    pte(12, frame_of(4) | P | W);
    for (u64 n = 0; n < 10; n++) {
      write64(page(11) + n * 8, n * 3);
      SAME(read64(page(12) + n * 8), n * 3);
      write64(page(12) + n * 8, n * 5);
      SAME(read64(page(11) + n * 8), n * 5);
    }
  }
  CASE("without any INVLPG our translations follow the tables at once") {
    if (on_test_machine()) {
      pte(13, frame_of(5) | P | W);
      write64(frame_of(5), 55);
      write64(frame_of(6), 66);
      SAME(read64(page(13)), 55);
      *(volatile u64 *)&space_pt[13] = frame_of(6) | P | W;
      SAME(read64(page(13)), 66);
      *(volatile u64 *)&space_pt[13] = 0;
      FAULTS(load, page(13), 0);
    }
  }
}

static void smep(void) {
  u32 r[4];
  cpuid(7, 0, r);
  CASE("SMEP keeps the supervisor from user code, not from user data") {
    static u64 pml4[512] PAGE, pdpt[512] PAGE, pd[512] PAGE;
    if (r[1] >> 7 & 1) {
      for (u64 n = 0; n < 512; n++) pd[n] = n << 21 | PS | P | W;
      pdpt[0] = (u64)pd | P | W;
      pml4[0] = (u64)pdpt | P | W;
      map_space();
      pml4[1] = boot_pml4[1];
      *(u8 *)frame_of(0) = 0xc3;
      WRITE_CR(3, pml4);
      pte(0, frame_of(0) | P | W | U);
      pte(1, frame_of(0) | P | W);
      RUNS(call_to, page(0));
      WRITE_CR(4, READ_CR(4) | 1ul << 20);
      FETCH_FAULTS(page(0), PRESENT | FETCH);
      RUNS(load, page(0));
      RUNS(call_to, page(1));
      WRITE_CR(4, READ_CR(4) & ~(1ul << 20));
      RUNS(call_to, page(0));
      WRITE_CR(3, boot_pml4);
    }
  }
}

void guest_main(void) {
  absent_pages();
  rights();
  reserved();
  accessed_dirty();
  large_pages();
  changes();
  smep();
}
