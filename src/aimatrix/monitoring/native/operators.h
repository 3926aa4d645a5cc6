// What of an operator's arguments determines its work: read from its schema once per process.
#pragma once

#include <ATen/core/function_schema.h>
#include <ATen/record_function.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "objects.h"

namespace aimatrix {

// How an argument enters a signature. All others (numbers, generators) are left out: indices and
// scalars would make a signature of every call, and they are the application's own.
enum class How : uint8_t { tensor, tensors, kept, device, object };

struct Argument {
  uint16_t index;
  How how;
  std::string name;
  bool is_written;  // the operator writes into it
  bool is_output;   // and does not read it
};

struct Operator {
  std::string name;
  std::string overload;
  std::vector<Argument> arguments;
  bool is_mark;  // set by a profiler: no work
  bool brings_new_objects;
  bool hands_on;  // returns its input, or, where that lies unsuitably (reshape), a copy of it
  // seen outside and inside of another operator: what sampling needs to find a boundary
  std::atomic<bool> seen_outer{false};
  std::atomic<bool> seen_nested{false};
};

// The name of the arguments to keep, by operator name.
using Kept = std::unordered_map<std::string, std::vector<std::string>>;

// Lines "aten::conv2d<TAB>stride,padding".
inline Kept parse_kept(std::string_view text) {
  Kept kept;
  while (!text.empty()) {
    auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    auto tab = line.find('\t');
    if (tab == std::string_view::npos) continue;
    auto& names = kept[std::string(line.substr(0, tab))];
    for (auto rest = line.substr(tab + 1); !rest.empty();) {
      auto name = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(rest.size(), name.size() + 1));
      names.emplace_back(name);
    }
  }
  return kept;
}

inline bool holds_tensor(const c10::Type& type) {
  if (type.kind() == c10::TypeKind::TensorType) return true;
  for (const auto& inner : type.containedTypes()) {
    if (holds_tensor(*inner)) return true;
  }
  return false;
}

inline bool holds(const c10::Type& type, c10::TypeKind kind) {
  if (type.kind() == kind) return true;
  for (const auto& inner : type.containedTypes()) {
    if (holds(*inner, kind)) return true;
  }
  return false;
}

// All operators that this process has called; they live as long as it does.
class Operators {
 public:
  void keep(Kept kept) { kept_ = std::move(kept); }

  Operator* find(const at::RecordFunction& call) {
    std::lock_guard<std::mutex> lock(mutex_);
    std::string ident = std::string(call.name()) + '\0' + call.overload_name();
    auto& found = known_[ident];
    if (!found) found = make(call);
    return found.get();
  }

  // Held while the process forks, so that the child finds all whole.
  std::mutex& mutex() { return mutex_; }

 private:
  std::unique_ptr<Operator> make(const at::RecordFunction& call) const {
    auto made = std::make_unique<Operator>();
    made->name = call.name();
    made->overload = call.overload_name();
    made->is_mark = made->name.rfind("profiler::", 0) == 0;
    made->brings_new_objects = brings_new_objects(made->name);
    made->hands_on = false;
    auto schema = call.operator_schema();
    if (!schema) return made;
    made->hands_on = made->name != "aten::contiguous" && may_return_its_input(*schema);
    auto kept = kept_.find(made->name);
    uint16_t index = 0;
    for (const auto& argument : schema->arguments()) {
      const auto& type = *argument.type();
      bool is_written = argument.alias_info() && argument.alias_info()->isWrite();
      if (holds_tensor(type)) {
        auto how = holds(type, c10::TypeKind::ListType) ? How::tensors : How::tensor;
        made->arguments.push_back({index, how, argument.name(), is_written, argument.is_out()});
      } else if (holds(type, c10::TypeKind::DeviceObjType)) {
        made->arguments.push_back({index, How::device, argument.name(), false, false});
      } else if (kept != kept_.end() && contains(kept->second, argument.name())) {
        bool is_object =
            type.kind() == c10::TypeKind::ClassType || argument.name() == "group_name";
        auto how = is_object ? How::object : How::kept;
        made->arguments.push_back({index, how, argument.name(), false, false});
      }
      index++;
    }
    return made;
  }

  static bool may_return_its_input(const c10::FunctionSchema& schema) {
    for (const auto& value : schema.returns()) {
      if (value.alias_info() && !value.alias_info()->isWrite()) return true;
    }
    return false;
  }

  static bool contains(const std::vector<std::string>& names, const std::string& name) {
    for (const auto& each : names) {
      if (each == name) return true;
    }
    return false;
  }

  std::mutex mutex_;
  Kept kept_;
  std::unordered_map<std::string, std::unique_ptr<Operator>> known_;
};

// A thread's shortcut to them. Names are compared by content: the schema of an operator that was
// taken back may leave its address to another one.
class OperatorCache {
 public:
  // overload: that of the call, which the caller has looked at already.
  Operator* find(const at::RecordFunction& call, const char* overload, Operators& all) {
    const char* name = call.name();
    auto& line = lines_[index_of(name)];
    if (line.name_at == name && std::strcmp(line.found->name.c_str(), name) == 0 &&
        std::strcmp(line.found->overload.c_str(), overload) == 0) {
      return line.found;
    }
    line.found = all.find(call);
    line.name_at = name;
    return line.found;
  }

 private:
  static constexpr size_t kLines = 512;
  struct Line {
    const char* name_at = nullptr;
    Operator* found = nullptr;
  };
  static size_t index_of(const char* name) {
    auto address = reinterpret_cast<uintptr_t>(name);
    return (address >> 4 ^ address >> 13) % kLines;
  }
  Line lines_[kLines];
};

}  // namespace aimatrix
