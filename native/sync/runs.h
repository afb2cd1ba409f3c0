// What a job of sync-up found: runs of neighbours, with their bytes in the buffer of the job or as zeros.
#pragma once

#include <cstdint>

namespace twinstep::sync {

struct Run {
  uint32_t first;
  uint32_t count;
  uint32_t offset;  // of its bytes in the buffer
  uint32_t bytes;   // 0: zeros
};

// Gathers runs until the buffer or the table is full. Before the bytes of each run `head_bytes` are left free,
// so that the owner can make a message of it in its place.
class RunBuffer {
 public:
  RunBuffer(uint8_t* buffer, uint32_t buffer_bytes, Run* table, uint32_t runs_max, uint32_t head_bytes)
      : buffer_(buffer), end_(buffer_bytes), table_(table), max_(runs_max), head_(head_bytes) {}

  // Where the bytes of `number` are to be put, with room for `bytes` of them; null: full.
  uint8_t* place(uint32_t number, uint32_t bytes, uint32_t run_bytes_max) {
    joins_ = count_ > 0 && follows(number) && last().bytes > 0 && last().bytes + bytes <= run_bytes_max;
    const uint32_t at = joins_ ? used_ : used_ + head_;
    if ((!joins_ && count_ == max_) || at + bytes > end_) return nullptr;
    return buffer_ + at;
  }

  // What lies at the place that was answered for `number` counts.
  void keep(uint32_t number, uint32_t bytes) {
    if (!joins_) {
      table_[count_++] = Run{number, 0, used_ + head_, 0};
      used_ += head_;
    }
    table_[count_ - 1].count += 1;
    table_[count_ - 1].bytes += bytes;
    used_ += bytes;
  }

  // False: full.
  bool keep_zeros(uint32_t first, uint32_t count) {
    if (count_ > 0 && follows(first) && last().bytes == 0) {
      table_[count_ - 1].count += count;
      return true;
    }
    if (count_ == max_) return false;
    table_[count_++] = Run{first, count, 0, 0};
    return true;
  }

  uint32_t count() const { return count_; }

 private:
  const Run& last() const { return table_[count_ - 1]; }
  bool follows(uint32_t number) const { return last().first + last().count == number; }

  uint8_t* buffer_;
  uint32_t end_;
  Run* table_;
  uint32_t max_;
  uint32_t head_;
  uint32_t used_ = 0;
  uint32_t count_ = 0;
  bool joins_ = false;
};

}  // namespace twinstep::sync
