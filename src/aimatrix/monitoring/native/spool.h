// The process's counts and descriptions on disk: docs/file-formats.md, "Spool".
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <system_error>

namespace aimatrix {

constexpr uint32_t kVersion = 3;
constexpr uint64_t kSampledUnit = 256;

// Of producers and consumers; further ones are left out.
constexpr uint64_t kMostPairs = 16'384;

// Of descriptions: signatures of long lists of tensors would otherwise fill disk and memory.
constexpr uint64_t kMostText = 64 << 20;

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t process;
  uint64_t start_ns;
  uint64_t capacity;
  uint64_t pid_namespace;
  uint64_t most_pairs;
  char reserved[16];
};
static_assert(sizeof(Header) == 64);

// Written by one thread at a time (regions: by atomic additions), read by another process.
struct Slot {
  std::atomic<uint64_t> calls;
  std::atomic<uint64_t> sampled;
  std::atomic<uint64_t> time_ns;
  std::atomic<uint64_t> looked;
};
static_assert(sizeof(Slot) == 32);

// Of a producer's slot (the lower half) and a consumer's, which is written first: what was not seen
// yet is no pair. Written by the consumer's thread.
struct Pair {
  std::atomic<uint64_t> slots;
  std::atomic<uint64_t> seen;
};
static_assert(sizeof(Pair) == 16);

// An addition by the only thread that writes: no locked instruction.
inline void add_alone(std::atomic<uint64_t>& counter, uint64_t value) {
  counter.store(counter.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
}

[[noreturn]] inline void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// A pair of files of this process. Raises std::system_error when the disk does not take them.
class Spool {
 public:
  Spool(const std::string& folder, uint64_t capacity, uint64_t pid_namespace)
      : capacity_(capacity) {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t start = static_cast<uint64_t>(now.tv_sec) * 1000000000ULL + now.tv_nsec;
    stem_ = folder + "/" + std::to_string(getpid()) + "-" + std::to_string(start);
    size_ = sizeof(Header) + capacity * sizeof(Slot) + kMostPairs * sizeof(Pair);
    int file = open((stem_ + ".counts").c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) fail(stem_);
    Header header{};
    std::memcpy(header.magic, "AIMXSPOL", 8);
    header.version = kVersion;
    header.process = static_cast<uint32_t>(getpid());
    header.start_ns = start;
    header.capacity = capacity;
    header.pid_namespace = pid_namespace;
    header.most_pairs = kMostPairs;
    // its place on disk is taken now: a disk that is full later would kill the process at a store
    int refused = posix_fallocate(file, 0, static_cast<off_t>(size_));
    if (!refused && pwrite(file, &header, sizeof header, 0) != sizeof header) refused = EIO;
    if (!refused) {
      map_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
      if (map_ == MAP_FAILED) refused = errno;
    }
    close(file);
    if (refused) {
      unlink((stem_ + ".counts").c_str());  // no one is to wait for it to count
      errno = refused;
      fail(stem_);
    }
    write_line(0, "\"name\":\"aimatrix::overflow\",\"overload\":\"\",\"phase\":\"forward\","
                  "\"arguments\":{}}");
  }

  // In a forked child: unmaps the parent's counts, and leaves its files alone.
  ~Spool() { munmap(map_, size_); }
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  Slot* slots() const { return reinterpret_cast<Slot*>(static_cast<char*>(map_) + sizeof(Header)); }

  // A place for a new pair, null where there is none left. One thread at a time.
  Pair* append_pair(uint64_t slots) {
    if (next_pair_ == kMostPairs) return nullptr;
    auto* pair = reinterpret_cast<Pair*>(this->slots() + capacity_) + next_pair_++;
    pair->slots.store(slots, std::memory_order_release);
    return pair;
  }

  bool is_full() const { return next_ >= capacity_ || text_ > kMostText; }

  // A slot for a signature, described on disk before it counts. One thread at a time.
  uint32_t append(const std::string& description) {
    write_line(next_, description);
    return static_cast<uint32_t>(next_++);
  }

 private:
  void write_line(uint64_t slot, const std::string& description) {
    std::string line = "{\"slot\":" + std::to_string(slot) + "," + description + "\n";
    if (torn_) line.insert(0, 1, '\n');
    text_ += line.size();
    // opened each time: an application that closes all files would otherwise have ours end up as
    // one of its own; one write, so that a kill leaves whole lines
    int file = open((stem_ + ".calls.jsonl").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
                    0600);
    if (file < 0) fail(stem_);
    auto written = write(file, line.data(), line.size());
    int reason = written < 0 ? errno : ENOSPC;
    close(file);
    torn_ = written != static_cast<ssize_t>(line.size());
    if (torn_) {
      errno = reason;
      fail(stem_);
    }
  }

  std::string stem_;
  uint64_t capacity_;
  uint64_t next_ = 1;
  uint64_t next_pair_ = 0;
  uint64_t text_ = 0;
  size_t size_ = 0;
  void* map_ = nullptr;
  bool torn_ = false;  // the last line was not written whole
};

}  // namespace aimatrix
