// The JavaScript face of sync-up's thread: one job at a time, each answered by a promise.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "memory/guest-memory.h"
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
    // Of the memory that was looked at last, and where it has holes: asking the kernel takes as long as the memory is
    // large, so who goes through it asks once. From the first page on it is asked anew.
    std::shared_ptr<memory::Mapping> memory;
    std::optional<memory::Extents> touched;
    void forget();
    memory::Extents& touched_of(const std::shared_ptr<memory::Mapping>& of, uint64_t first);
  };

  // How the thread answers. Node takes the function away when the environment ends, whoever still holds it: the
  // thread asks before it touches it.
  struct Line {
    std::mutex mutex;
    bool is_open = true;
    Napi::ThreadSafeFunction answers;
    bool is_busy = false;  // The loop's, as the next one.
    bool is_closing = false;
    std::shared_ptr<Line>* hook = nullptr;  // What the environment's end is told with.
  };

  struct Answer {
    std::vector<std::pair<const char*, double>> numbers;
    int error = 0;  // an errno; -1: the file became shorter
    uint64_t at_block = 0;
    const char* doing = "read";
  };

  using Work = std::function<Answer(Room&)>;

 private:
  Napi::Value buffer(const Napi::CallbackInfo& info);
  Napi::Value runs(const Napi::CallbackInfo& info);
  Napi::Value survey(const Napi::CallbackInfo& info);
  Napi::Value compare(const Napi::CallbackInfo& info);
  Napi::Value scan_pages(const Napi::CallbackInfo& info);
  Napi::Value survey_pages(const Napi::CallbackInfo& info);
  Napi::Value compare_pages(const Napi::CallbackInfo& info);
  Napi::Value digest_pages(const Napi::CallbackInfo& info);
  Napi::Value store_pages(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  Napi::Value start(Napi::Env env, Work work);
  void end();

  std::shared_ptr<Room> room_;
  std::unique_ptr<sync::Worker> worker_;
  std::shared_ptr<Line> line_ = std::make_shared<Line>();
  Napi::Reference<Napi::ArrayBuffer> buffer_;
  Napi::Reference<Napi::ArrayBuffer> runs_;
};

}  // namespace twinstep::napi
