// An engine as JavaScript drives it: one object a vCPU, used by the thread that made it; only the kick
// may come from elsewhere, by token. The same for every engine, as all fulfil the same contract.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "memory/guest-memory.h"
#include "softcpu/engine.h"
#include "vtx/engine.h"

namespace twinstep::napi {

// kick(token): makes the engine's run() return soon. Unknown tokens are answered with false.
Napi::Value kick_engine(const Napi::CallbackInfo& info);
// probeKvm(): what this host's KVM is good for, in words.
Napi::Value probe_kvm(const Napi::CallbackInfo& info);

template <class E>
class EngineObject : public Napi::ObjectWrap<EngineObject<E>> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit EngineObject(const Napi::CallbackInfo& info);
  ~EngineObject() override;

 private:
  Napi::Value run(const Napi::CallbackInfo& info);
  template <class Run>
  Napi::Value run_by(const Napi::CallbackInfo& info, Run run);
  Napi::Value exit_record(const Napi::CallbackInfo& info);
  void complete_read(const Napi::CallbackInfo& info);
  void set_interrupt_line(const Napi::CallbackInfo& info);
  Napi::Value can_interrupt(const Napi::CallbackInfo& info);
  void interrupt(const Napi::CallbackInfo& info);
  void nmi(const Napi::CallbackInfo& info);
  Napi::Value icount(const Napi::CallbackInfo& info);
  Napi::Value tsc(const Napi::CallbackInfo& info);
  Napi::Value is_halted(const Napi::CallbackInfo& info);
  void set_tsc(const Napi::CallbackInfo& info);
  void seed_entropy(const Napi::CallbackInfo& info);
  void reset(const Napi::CallbackInfo& info);
  void setup(const Napi::CallbackInfo& info);
  Napi::Value get_state(const Napi::CallbackInfo& info);
  void set_state(const Napi::CallbackInfo& info);
  void memory_written(const Napi::CallbackInfo& info);
  void take_dirty_pages(const Napi::CallbackInfo& info);
  Napi::Value kick_token(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  Napi::Value translates_not(const Napi::CallbackInfo& info);
  Napi::Value counters(const Napi::CallbackInfo& info);
  Napi::Value run_near(const Napi::CallbackInfo& info);
  Napi::Value is_between(const Napi::CallbackInfo& info);
  void close_slice(const Napi::CallbackInfo& info);
  // Turns what an engine throws into an Error with its words.
  template <auto Method>
  auto safe(const Napi::CallbackInfo& info) -> decltype((this->*Method)(info));

  E& open(const Napi::CallbackInfo& info) const;
  void forget_token();

  // Order matters: the engine goes before the memory it runs on.
  std::shared_ptr<memory::Mapping> memory_;
  std::shared_ptr<E> engine_;
  uint64_t token_ = 0;
  std::vector<uint64_t> dirty_;  // room for the pages of one call
  // Facts of the last exit, read by JavaScript without a call: bytes, address, low and high half
  // of the value.
  Napi::Reference<Napi::Float64Array> exit_;
};

using SoftEngine = EngineObject<soft::Engine>;
using VtxEngine = EngineObject<vtx::Engine>;

}  // namespace twinstep::napi
