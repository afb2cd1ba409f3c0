// See cpu-setup.h.
#include "napi/cpu-setup.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "napi/arguments.h"

namespace twinstep::napi {
namespace {

Napi::Object object_in(const Napi::Object& parent, const char* name) {
  const Napi::Value value = parent.Get(name);
  if (!value.IsObject()) {
    throw Napi::TypeError::New(parent.Env(), std::string("setup: ") + name + " must be an object");
  }
  return value.As<Napi::Object>();
}

uint64_t field(const Napi::Object& object, const char* name, uint64_t max = kExactMax) {
  return whole(object.Get(name), std::string("setup: ") + name, max);
}

soft::Segment segment(const Napi::Object& from) {
  soft::Segment to;
  to.selector = static_cast<uint16_t>(field(from, "selector", 0xffff));
  to.base = field(from, "base");
  to.limit = static_cast<uint32_t>(field(from, "limit", 0xffffffff));
  to.attr = static_cast<uint32_t>(field(from, "attributes", 0x1ffff));
  return to;
}

}  // namespace

CpuSetup read_setup(const Napi::Object& from) {
  CpuSetup s{};
  static constexpr const char* kNames[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"};
  const auto registers = object_in(from, "registers");
  for (size_t i = 0; i < std::size(kNames); i++) {
    const bool given = !registers.Get(kNames[i]).IsUndefined();
    s.gpr[i] = given ? field(registers, kNames[i]) : 0;
  }
  s.rip = field(from, "rip");
  s.rflags = field(from, "rflags", 0xffffffff);
  s.cr0 = field(from, "cr0", 0xffffffff);
  s.cr3 = field(from, "cr3");
  s.cr4 = field(from, "cr4", 0xffffffff);
  s.efer = field(from, "efer", 0xffffffff);
  s.gdt_base = field(from, "gdtBase");
  s.gdt_limit = static_cast<uint32_t>(field(from, "gdtLimit", 0xffff));
  s.data = segment(object_in(from, "data"));
  s.cs = segment(object_in(from, "cs"));
  if (!from.Get("taskState").IsUndefined()) s.task = segment(object_in(from, "taskState"));
  return s;
}

void apply(const CpuSetup& from, soft::State& to) {
  std::copy(std::begin(from.gpr), std::end(from.gpr), to.gpr);
  to.rip = from.rip;
  to.rflags = from.rflags;
  to.cr0 = from.cr0;
  to.cr3 = from.cr3;
  to.cr4 = from.cr4;
  to.efer = from.efer;
  to.gdt_base = from.gdt_base;
  to.gdt_limit = from.gdt_limit;
  for (auto& each : to.seg) each = from.data;
  to.seg[soft::CS] = from.cs;
  if (from.task) to.tr = *from.task;
}

}  // namespace twinstep::napi
