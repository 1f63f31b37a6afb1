// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "core/error.h"

namespace cnncore {

using AttrValue =
    std::variant<std::int64_t, double, std::string, std::vector<std::int64_t>, std::vector<double>>;

/// Settings of one step, as Python's lowering hands them over: name -> number, text or list.
/// It remembers what it was asked for, so one object serves one thread.
class Attrs {
 public:
  Attrs() = default;
  explicit Attrs(std::map<std::string, AttrValue> values) : values_(std::move(values)) {}

  bool has(const std::string& name) const {
    asked_.insert(name);
    return values_.count(name) != 0;
  }
  std::int64_t integer(const std::string& name) const { return get<std::int64_t>(name); }
  std::int64_t integer(const std::string& name, std::int64_t fallback) const {
    return has(name) ? integer(name) : fallback;
  }
  double real(const std::string& name) const {
    const auto& value = find(name);
    if (const auto* whole = std::get_if<std::int64_t>(&value)) return static_cast<double>(*whole);
    return get<double>(name);
  }
  double real(const std::string& name, double fallback) const { return has(name) ? real(name) : fallback; }
  const std::string& text(const std::string& name) const { return get<std::string>(name); }
  std::string text(const std::string& name, const std::string& fallback) const {
    return has(name) ? text(name) : fallback;
  }
  const std::vector<std::int64_t>& integers(const std::string& name) const {
    return get<std::vector<std::int64_t>>(name);
  }
  const std::vector<double>& reals(const std::string& name) const { return get<std::vector<double>>(name); }
  /// Throws when an attribute was given that nobody asked for; `what` is set up by now.
  void finish(const std::string& what) const {
    for (const auto& [name, value] : values_) {
      if (asked_.count(name) != 0) continue;
      std::string known;
      for (const auto& other : asked_) known += (known.empty() ? "" : ", ") + other;
      fail(what, ": unknown attribute '", name, "'; ", known.empty() ? "it takes none" : "it takes ", known);
    }
  }

 private:
  const AttrValue& find(const std::string& name) const {
    asked_.insert(name);
    const auto found = values_.find(name);
    require(found != values_.end(), "missing attribute '", name, "'");
    return found->second;
  }
  template <class T>
  const T& get(const std::string& name) const {
    const T* value = std::get_if<T>(&find(name));
    require(value != nullptr, "attribute '", name, "' has the wrong type");
    return *value;
  }

  std::map<std::string, AttrValue> values_;
  mutable std::set<std::string> asked_;
};

}  // namespace cnncore
