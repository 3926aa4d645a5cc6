// What the objects tell that operators take besides tensors: packed weights and process groups.
//
// Of packed weights, the shapes (and the strides of a convolution) can be told only by unpacking
// them, which copies them: it is done once for each object. An object is known by its address,
// which another may have once it is gone; so all are forgotten when weights are packed or loaded.
#pragma once

#include <ATen/core/class_type.h>
#include <ATen/core/function.h>
#include <ATen/core/ivalue.h>
#include <ATen/record_function.h>

#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#if __has_include(<torch/csrc/distributed/c10d/GroupRegistry.hpp>)
#include <torch/csrc/distributed/c10d/GroupRegistry.hpp>
#define AIMATRIX_HAS_PROCESS_GROUPS
// a torch that was built without them has the header all the same
namespace c10d {
__attribute__((weak)) c10::intrusive_ptr<ProcessGroup> resolve_process_group(const std::string&);
}
#endif

#include "values.h"

namespace aimatrix {

// Whether objects may have other addresses after an operator than before it: all packed objects
// begin with one of these, in the process or out of a file.
inline bool brings_new_objects(std::string_view name) {
  return name.find("prepack") != std::string_view::npos ||
         name == "aten::_empty_affine_quantized" ||
         name == "aten::_empty_per_channel_affine_quantized" ||
         name == "aten::_make_per_tensor_quantized_tensor" ||
         name == "aten::_make_per_channel_quantized_tensor";
}

struct Told {
  std::string text = "null";  // in JSON
  uint64_t hash = 0;
};

class Objects {
 public:
  // What an object tells: of packed weights, weight, bias, and what a convolution has besides; of a
  // process group or its name, how many processes there are.
  Told tell(const c10::IValue& value) {
    try {
      if (value.isString()) return size_of(value.toStringRef());
      if (!value.isObject()) return {};
      auto type = value.toObjectRef().type();
      if (type->name()->name() == "ProcessGroup") return size_of(value);
      return tell_packed(value, *type);
    } catch (const std::exception&) {
      return {};  // a group that is gone, a class that tells nothing of the kind
    }
  }

  void forget_all() {
    std::lock_guard<std::mutex> lock(mutex_);
    known_.clear();
  }

  // Held while the process forks, so that the child finds all whole.
  std::mutex& mutex() { return mutex_; }

 private:
  Told tell_packed(const c10::IValue& value, c10::ClassType& type) {
    const void* address = value.toObjectRef().getSlot(0).toCapsule().get();
    {
      std::lock_guard<std::mutex> lock(mutex_);
      auto found = known_.find(address);
      if (found != known_.end()) return found->second;
    }
    auto told = hashed(unpacked(value, type));
    std::lock_guard<std::mutex> lock(mutex_);
    return known_[address] = std::move(told);
  }

  static std::string unpacked(const c10::IValue& value, c10::ClassType& type) {
    auto* unpack = type.findMethod("unpack");
    if (!unpack) return "null";
    at::RecordFunctionGuard unseen(/*is_enabled=*/false);  // these calls are ours
    auto weights = (*unpack)({value});
    std::string out = "[";
    if (weights.isTuple()) {
      const char* comma = "";
      for (const auto& tensor : weights.toTupleRef().elements()) {
        out += comma;
        write_tensor(out, tensor);
        comma = ",";
      }
    } else {
      write_tensor(out, weights);
    }
    constexpr const char* of_convolutions[] = {
        "stride", "padding", "output_padding", "dilation", "groups", "transpose"};
    for (const auto* name : of_convolutions) {
      auto* ask = type.findMethod(name);
      if (!ask) break;
      out += ',';
      write_kept(out, (*ask)({value}));
    }
    return out += ']';
  }

  static Told hashed(std::string text) {
    auto hash = std::hash<std::string>{}(text);
    return {std::move(text), hash};
  }

#ifdef AIMATRIX_HAS_PROCESS_GROUPS
  static Told size_of(const std::string& name) {
    if (&c10d::resolve_process_group == nullptr) return {};
    return hashed(std::to_string(c10d::resolve_process_group(name)->getSize()));
  }
  static Told size_of(const c10::IValue& group) {
    return hashed(std::to_string(group.toCustomClass<c10d::ProcessGroup>()->getSize()));
  }
#else
  static Told size_of(const std::string&) { return {}; }
  static Told size_of(const c10::IValue&) { return {}; }
#endif

  std::mutex mutex_;
  std::unordered_map<const void*, Told> known_;
};

inline Objects& objects() {
  static auto* all = new Objects();  // threads may call while the process ends
  return *all;
}

}  // namespace aimatrix
