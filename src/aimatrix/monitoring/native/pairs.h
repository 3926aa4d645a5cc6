// Who consumes whose output: looks at calls in bursts, by the storages of their tensors.
//
// A storage's producer is the call that made it or wrote into it last. So a view keeps the producer
// of what it shows, and a call that only hands on its input produces nothing; nor does reshape where
// it has to copy, which counts as a view all the same. A parameter (a leaf that requires gradients)
// has no producer, whoever has set or stepped it.
//
// What a call returns is told by torch only while a callback asks for it, which costs every call:
// the capture has it on during bursts alone.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "operators.h"
#include "spool.h"
#include "values.h"

namespace aimatrix {

constexpr int64_t kFirstBurst = 4096;      // calls that are looked at, at the begin of a process
constexpr int64_t kBurst = 512;            // calls of a later burst
constexpr uint64_t kBurstGap = 63 * 512;   // calls of a thread between bursts that it begins
constexpr uint64_t kEnoughLooked = 65'536; // after which each gap is twice as long as the last

using Storage = const c10::StorageImpl*;

// What holds a tensor's data; null where nothing does (sparse tensors).
inline Storage storage_of(const c10::TensorImpl* tensor) {
  if (is_absent(tensor) || !tensor->has_storage()) return nullptr;
  return tensor->unsafe_storage().unsafeGetStorageImpl();
}

// The storages that a thread's calls have written in a burst, and the slots of these calls. What
// finds no room takes that of another.
class Producers {
 public:
  // 0 where it is not known.
  uint32_t of(Storage storage) const {
    if (places_.empty()) return 0;
    const auto* row = row_of(storage);
    for (int i = 0; i < kRow; i++) {
      if (row[i].storage == storage && row[i].era == era_) return row[i].slot;
    }
    return 0;
  }

  void set(Storage storage, uint32_t slot) {
    if (!storage) return;
    if (places_.empty()) places_.resize(kRow << kBits);
    auto* row = const_cast<Place*>(row_of(storage));
    auto* place = &row[(hash(storage) >> 16) % kRow];
    for (int i = 0; i < kRow; i++) {
      if (row[i].storage == storage) {
        place = &row[i];
        break;
      }
      if (row[i].era != era_) place = &row[i];
    }
    *place = {storage, slot, era_};
  }

  void forget() { era_++; }

 private:
  static constexpr int kRow = 8, kBits = 10;
  struct Place {
    Storage storage = nullptr;
    uint32_t slot = 0;
    uint32_t era = 0;
  };

  static uint64_t hash(Storage storage) {
    return (reinterpret_cast<uintptr_t>(storage) >> 4) * 0x9E3779B97F4A7C15ULL;
  }
  const Place* row_of(Storage storage) const {
    return &places_[(hash(storage) >> (64 - kBits)) * kRow];
  }

  std::vector<Place> places_;  // made when a thread is looked at
  uint32_t era_ = 1;
};

// What a thread knows of the calls that are looked at.
class Look {
 public:
  // A burst has begun, or calls have been made that were not seen.
  void forget_producers() { producers_.forget(); }

  void begin_anew() {
    forget_producers();
    pairs_.clear();
    is_open_ = false;
  }

  // At the begin of a call that is counted in `slot`: who has produced what it takes.
  const std::vector<uint32_t>& begin(
      const Operator& called, uint32_t slot, c10::ArrayRef<const c10::IValue> inputs) {
    slot_ = slot;
    hands_on_ = called.hands_on;
    is_open_ = true;
    taken_.clear();
    written_.clear();
    found_.clear();
    for (const auto& argument : called.arguments) {
      if (argument.index >= inputs.size()) break;
      bool is_tensor = argument.how == How::tensor || argument.how == How::tensors;
      if (is_tensor) take(argument, inputs[argument.index]);
    }
    return found_;
  }

  bool is_open() const { return is_open_; }

  // At its end: it is the producer of what it has made and written.
  void end(c10::ArrayRef<c10::IValue> outputs) {
    is_open_ = false;
    auto producer = slot_;
    if (hands_on_ && !taken_.empty()) producer = producers_.of(taken_.front());
    std::sort(taken_.begin(), taken_.end());
    for (const auto& output : outputs) make(output, producer);
    for (auto storage : written_) producers_.set(storage, slot_);
  }

  // Where a pair counts; null for one beyond the capacity. `open` finds it a place.
  template <typename Open>
  Pair* pair(uint32_t producer, uint32_t consumer, const Open& open) {
    auto key = static_cast<uint64_t>(consumer) << 32 | producer;
    auto found = pairs_.find(key);
    if (found != pairs_.end()) return found->second;
    auto* place = open(key);
    if (place) pairs_[key] = place;
    return place;
  }

 private:
  void take(const Argument& argument, const c10::IValue& value) {
    if (value.isList()) {
      for (const auto& item : value.toListRef()) take(argument, item);
      return;
    }
    if (!value.isTensor()) return;
    auto storage = storage_of(value.unsafeToTensorImpl());
    if (!storage) return;
    taken_.push_back(storage);
    const auto& tensor = value.toTensor();
    if (tensor.requires_grad() && tensor.is_leaf()) {
      producers_.set(storage, 0);
      return;
    }
    if (!argument.is_output) find(storage);
    if (argument.is_written) written_.push_back(storage);
  }

  void find(Storage storage) {
    auto producer = producers_.of(storage);
    bool is_new = producer && std::find(found_.begin(), found_.end(), producer) == found_.end();
    if (is_new) found_.push_back(producer);
  }

  void make(const c10::IValue& value, uint32_t producer) {
    if (value.isTensorList()) {
      for (const auto& item : value.toListRef()) make(item, producer);
      return;
    }
    if (!value.isTensor()) return;
    auto storage = storage_of(value.unsafeToTensorImpl());
    if (!std::binary_search(taken_.begin(), taken_.end(), storage)) {
      producers_.set(storage, producer);
    }
  }

  Producers producers_;
  std::unordered_map<uint64_t, Pair*> pairs_;
  // of the call that is open
  bool is_open_ = false;
  bool hands_on_ = false;
  uint32_t slot_ = 0;
  std::vector<Storage> taken_;
  std::vector<Storage> written_;
  std::vector<uint32_t> found_;
};

// When calls are looked at: of all threads while a burst lasts, which any of them may begin.
class Bursts {
 public:
  void reset(bool is_on) {
    is_on_ = is_on;
    number_++;
    left_ = kFirstBurst;
    looked_ = 0;
    gap_ = kBurstGap;
  }

  bool is_on() const { return is_on_.load(std::memory_order_relaxed); }
  uint64_t number() const { return number_.load(std::memory_order_relaxed); }
  uint64_t gap() const { return gap_; }

  void begin() {
    number_++;
    left_ = kBurst;
    is_on_ = true;
  }

  // Takes note of a look; whether the burst is to end with it.
  bool is_last() { return left_.fetch_sub(1, std::memory_order_relaxed) <= 1; }

  void end() {
    if (!is_on_.exchange(false)) return;
    looked_ += kBurst;
    if (looked_ >= kEnoughLooked) gap_ = 2 * gap_;
  }

 private:
  std::atomic<bool> is_on_{false};
  std::atomic<uint64_t> number_{0};
  std::atomic<int64_t> left_{0};
  uint64_t looked_ = 0;  // in later bursts
  std::atomic<uint64_t> gap_{kBurstGap};
};

}  // namespace aimatrix
