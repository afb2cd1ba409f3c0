// IN and OUT in every width and form, INS and OUTS with REP, what they leave in the registers, and
// what happens when their memory faults. Runs on the test machine only.
#include "metal.h"

static u8 *const ram = pool[0];

SNIPPET(rep_outsb, "mov dx, 0x700\nmov rsi, rdi\nmov ecx, 64", "rep outsb");
SNIPPET(rep_insb, "mov dx, 0x700\nmov ecx, 64", "rep insb");
SNIPPET(rep_insd, "mov dx, 0x700\nmov ecx, 16", "rep insd");
SNIPPET(user_outsb, "mov dx, 0x700\nmov rsi, rdi\nmov ecx, 0", "rep outsb\nint 0x80");
SNIPPET(user_in_byte, "", "in al, 0x80\nint 0x80");

static void widths(void) {
  CASE("OUT and IN with DX") {
    out32(PORT_RAM, 0x44332211);
    SAME(in8(PORT_RAM), 0x11);
    SAME(in8(PORT_RAM + 3), 0x44);
    SAME(in32(PORT_RAM), 0x44332211);
    out16(PORT_RAM + 1, 0xbbaa);
    SAME(in32(PORT_RAM), 0x44bbaa11);
    out8(PORT_RAM + 3, 0xcc);
    SAME(in32(PORT_RAM), 0xccbbaa11);
  }
  CASE("IN changes what its width says: 32 bits clear the upper half") {
    u64 rax = 0x1122334455667788;
    asm volatile("in al, dx" : "+a"(rax) : "d"(PORT_RAM));
    SAME(rax, 0x1122334455667711);
    asm volatile("in ax, dx" : "+a"(rax) : "d"(PORT_RAM));
    SAME(rax, 0x112233445566aa11);
    asm volatile("in eax, dx" : "+a"(rax) : "d"(PORT_RAM));
    SAME(rax, 0xccbbaa11);
  }
  CASE("the immediate form; DX counts with 16 bits") {
    u64 rax = ~0ul;
    asm volatile("in al, 0xf1" : "+a"(rax));
    SAME(rax, ~0ul);
    asm volatile("in ax, 0xf0" : "+a"(rax));
    SAME(rax, ~0ul);
    asm volatile("out 0x80, al\nout 0x80, ax\nout 0x80, eax" ::"a"(1));
    asm volatile("in al, dx" : "+a"(rax) : "d"(0xffff0000 + PORT_RAM));
    SAME(rax & 0xff, 0x11);
  }
  CASE("flags stay") {
    u64 flags;
    asm volatile("stc\nstd\nin al, dx\nout dx, al\npushfq\npop %0\ncld" : "=r"(flags) : "d"(PORT_RAM) : "rax", "cc");
    SAME(flags & (FLAG_CF | FLAG_DF), FLAG_CF | FLAG_DF);
  }
}

static void repeated(void) {
  CASE("REP OUTS and REP INS move whole buffers, in any width") {
    for (u32 n = 0; n < 64; n++) ram[n] = (u8)(n * 11 + 3);
    for (u32 width = 1; width <= 4; width *= 2) {
      u64 from = (u64)ram, to = (u64)ram + 1024, count = 64 / width;
      fill(ram + 1024, 0, 65);
      if (width == 1) asm volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(FIFO_PORT) : "memory");
      if (width == 2) asm volatile("rep outsw" : "+S"(from), "+c"(count) : "d"(FIFO_PORT) : "memory");
      if (width == 4) asm volatile("rep outsd" : "+S"(from), "+c"(count) : "d"(FIFO_PORT) : "memory");
      SAME(from, (u64)ram + 64);
      SAME(count, 0);
      count = 64 / width;
      if (width == 1) asm volatile("rep insb" : "+D"(to), "+c"(count) : "d"(FIFO_PORT) : "memory");
      if (width == 2) asm volatile("rep insw" : "+D"(to), "+c"(count) : "d"(FIFO_PORT) : "memory");
      if (width == 4) asm volatile("rep insd" : "+D"(to), "+c"(count) : "d"(FIFO_PORT) : "memory");
      SAME(to, (u64)ram + 1024 + 64);
      for (u32 n = 0; n < 64; n++) SAME(ram[1024 + n], ram[n]);
      SAME(ram[1024 + 64], 0);
    }
  }
  CASE("backwards, and once without REP") {
    u64 from = (u64)ram + 7, to = (u64)ram + 2048, count = 8;
    asm volatile("std\nrep outsb\ncld" : "+S"(from), "+c"(count) : "d"(FIFO_PORT) : "memory");
    SAME(from, (u64)ram - 1);
    for (u32 n = 0; n < 8; n++) {
      asm volatile("insb" : "+D"(to) : "d"(FIFO_PORT) : "memory");
      SAME(ram[2048 + n], ram[7 - n]);
    }
    count = 0;
    asm volatile("rep insb\nrep outsb" : "+D"(to), "+S"(from), "+c"(count) : "d"(FIFO_PORT) : "memory");
    SAME(to, (u64)ram + 2048 + 8);
  }
  CASE("INS into device registers, OUTS from them") {
    u64 from = (u64)ram, to = (u64)MMIO + 0x40, count = 16;
    asm volatile("rep outsd" : "+S"(from), "+c"(count) : "d"(FIFO_PORT) : "memory");
    count = 16;
    asm volatile("rep insd" : "+D"(to), "+c"(count) : "d"(FIFO_PORT) : "memory");
    for (u32 n = 0; n < 16; n++) SAME(((volatile u32 *)(MMIO + 0x40))[n], ((u32 *)ram)[n]);
    from = (u64)MMIO + 0x40, count = 16;
    asm volatile("rep outsd" : "+S"(from), "+c"(count) : "d"(FIFO_PORT) : "memory");
    for (u32 n = 0; n < 16; n++) SAME(in32(FIFO_PORT), ((u32 *)ram)[n]);
  }
}

static void faulting(void) {
  map_space();
  set_pte(&space_pt[0], (u64)pool[4] | P | W, page(0));
  CASE("REP OUTS from an absent page: what went out went out, the rest follows after the repair") {
    for (u32 n = 0; n < 4096; n++) pool[4][n] = pool[5][n] = (u8)n;
    CHECK(attempt(rep_outsb, page(1) - 24));
    SAME(caught.f.vector, PF);
    SAME(caught.f.error, 0);
    SAME(caught.f.rcx, 40);
    SAME(caught.f.rsi, page(1));
    for (u32 n = 0; n < 24; n++) SAME(in8(FIFO_PORT), (u8)(4096 - 24 + n));
  }
  CASE("REP INS into an absent page takes nothing from the device that it cannot store") {
    for (u32 n = 0; n < 64; n++) out8(FIFO_PORT, (u8)(n + 1));
    CHECK(attempt(rep_insb, page(1) - 10));
    SAME(caught.f.vector, PF);
    SAME(caught.f.error, 2);
    SAME(caught.f.rcx, 54);
    SAME(caught.f.rdi, page(1));
    SAME(pool[4][4095], 10);
    for (u32 n = 10; n < 64; n++) SAME(in8(FIFO_PORT), n + 1);
    for (u32 n = 0; n < 16; n++) out32(FIFO_PORT, n);
    CHECK(attempt(rep_insd, page(1) - 6));
    SAME(caught.f.rcx, 15);
    SAME(caught.f.rdi, page(1) - 2);
    for (u32 n = 1; n < 16; n++) SAME(in32(FIFO_PORT), n);
  }
  CASE("a read-only destination") {
    set_pte(&space_pt[1], (u64)pool[5] | P, page(1));
    out8(FIFO_PORT, 0x99);
    CHECK(attempt(rep_insb, page(1)));
    SAME(caught.f.error, 3);
    SAME(in8(FIFO_PORT), 0x99);
  }
  CASE("rights are checked before anything else, also for a count of zero") {
    SAME(run_user(user_in_byte, 0), GP);
    SAME(caught.f.rip, (u64)user_in_byte_at);
    SAME(run_user(user_outsb, (u64)ram), GP);
  }
}

void guest_main(void) {
  widths();
  repeated();
  faulting();
}
