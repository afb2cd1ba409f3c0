// The JavaScript face of sync-up's thread: one job at a time, each answered by a promise.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sync/runs.h"
#include "sync/worker.h"

namespace twinstep::napi {

class SyncWorker : public Napi::ObjectWrap<SyncWorker> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit SyncWorker(const Napi::CallbackInfo& info);
  ~SyncWorker() override;

  // What a job leaves, kept for as long as anybody looks at it.
  struct Room {
    std::vector<uint8_t> buffer;
    std::vector<sync::Run> runs;
  };

  struct Answer {
    std::vector<std::pair<const char*, double>> numbers;
    int error = 0;  // an errno; -1: the file became shorter
    uint64_t at_block = 0;
  };

 private:
  Napi::Value buffer(const Napi::CallbackInfo& info);
  Napi::Value runs(const Napi::CallbackInfo& info);
  Napi::Value survey(const Napi::CallbackInfo& info);
  Napi::Value compare(const Napi::CallbackInfo& info);
  Napi::Value scan_pages(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  Napi::Value start(Napi::Env env, std::function<Answer(Room&)> job);
  void end();

  std::shared_ptr<Room> room_;
  std::unique_ptr<sync::Worker> worker_;
  Napi::ThreadSafeFunction answers_;
  std::shared_ptr<bool> is_busy_ = std::make_shared<bool>(false);
  Napi::Reference<Napi::ArrayBuffer> buffer_;
  Napi::Reference<Napi::ArrayBuffer> runs_;
};

}  // namespace twinstep::napi
