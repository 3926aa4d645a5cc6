// A thread's signatures and the slots that they count in.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "signature.h"

namespace aimatrix {

// Open addressing over whole signatures: equal hashes of different ones are told apart.
class Table {
 public:
  static constexpr uint32_t kUnknown = UINT32_MAX;

  uint32_t find(uint64_t hash, const Words& words) const {
    for (size_t i = hash & mask_;; i = (i + 1) & mask_) {
      const auto& place = places_[i];
      if (place.hash == hash && is_at(place.words_at, words)) return place.slot;
      if (place.hash == 0) return kUnknown;
    }
  }

  void insert(uint64_t hash, const Words& words, uint32_t slot) {
    if (2 * (used_ + 1) > places_.size()) grow();
    auto at = words_.size();
    words_.push_back(words.size());
    words_.insert(words_.end(), words.data(), words.data() + words.size());
    put({hash, at, slot});
    used_++;
  }

  void clear() { *this = Table(); }

 private:
  struct Place {
    uint64_t hash = 0;
    uint64_t words_at = 0;
    uint32_t slot = 0;
  };

  bool is_at(uint64_t at, const Words& words) const {
    return words_[at] == words.size() &&
           std::memcmp(&words_[at + 1], words.data(), words.size() * sizeof(uint64_t)) == 0;
  }

  void put(const Place& place) {
    size_t i = place.hash & mask_;
    while (places_[i].hash) i = (i + 1) & mask_;
    places_[i] = place;
  }

  void grow() {
    auto before = std::move(places_);
    places_.assign(2 * before.size(), Place{});
    mask_ = places_.size() - 1;
    for (const auto& place : before) {
      if (place.hash) put(place);
    }
  }

  std::vector<Place> places_ = std::vector<Place>(256);
  size_t mask_ = 255;
  size_t used_ = 0;
  std::vector<uint64_t> words_;
};

}  // namespace aimatrix
