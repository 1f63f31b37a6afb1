// SPDX-License-Identifier: Apache-2.0
#include "program/program.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <shared_mutex>

#include "core/parallel.h"
#include "ops/registry.h"

namespace cnncore {
namespace {

// Fixed positions in RunContext::bases; bound values, inputs and outputs follow.
constexpr std::size_t kNullBase = 0;
constexpr std::size_t kArenaBase = 1;
constexpr std::size_t kPersistentBase = 2;
constexpr std::size_t kRandomBase = 3;
constexpr std::size_t kFirstBound = 4;

constexpr std::size_t kNoStaging = static_cast<std::size_t>(-1);

constexpr std::size_t kIdleContexts = 4;
constexpr std::size_t kIdleBytes = std::size_t{64} << 20;  // of arenas kept beside the first idle one

/// While alive, no run is under way; those that want to begin wait, however many follow one another.
using Alone = std::unique_lock<AccessLock>;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

const TensorDesc& StepSpec::input(std::size_t i) const {
  require(has_input(i), op, ": missing input ", i);
  return inputs[i].desc;
}

const TensorDesc& StepSpec::output(std::size_t i) const {
  require(has_output(i), op, ": missing output ", i);
  return outputs[i].desc;
}

Program::ValueEntry& Program::value(int id) {
  require(id >= 0 && static_cast<std::size_t>(id) < values_.size(), "no value ", id);
  return values_[static_cast<std::size_t>(id)];
}

StepTensor Program::tensor(int id) const {
  if (id < 0) return {};
  return {true, values_.at(static_cast<std::size_t>(id)).desc};
}

int Program::add_value(const TensorDesc& desc) {
  ValueEntry entry;
  entry.desc = desc;
  values_.push_back(entry);
  return static_cast<int>(values_.size()) - 1;
}

int Program::add_step(const std::string& op, const std::vector<int>& inputs, const std::vector<int>& outputs,
                      Attrs attrs, bool setup, const std::string& label) {
  require(!finished_, "the program is finished");
  StepSpec spec;
  spec.op = op;
  spec.attrs = std::move(attrs);
  StepEntry entry;
  for (const int id : inputs) {
    spec.inputs.push_back(tensor(id));
    if (id >= 0) entry.bytes += static_cast<double>(desc(id).bytes());
  }
  for (const int id : outputs) {
    spec.outputs.push_back(tensor(id));
    if (id >= 0) entry.bytes += static_cast<double>(desc(id).bytes());
  }
  entry.op = op;
  entry.label = label;
  entry.setup = setup;
  entry.step = step_registry().make(spec);
  entry.inputs = inputs;
  entry.outputs = outputs;
  scratch_bytes_ = std::max(scratch_bytes_, align_up(entry.step->scratch_bytes()));
  steps_.push_back(std::move(entry));
  return static_cast<int>(steps_.size()) - 1;
}

void Program::place(int id, const std::string& storage, std::size_t offset) {
  ValueEntry& entry = value(id);
  if (entry.place == Place::input) {
    staging_[entry.slot] = offset;
    return;
  }
  require(storage == "arena" || storage == "persistent", "expected storage arena or persistent, got ",
          storage);
  entry.place = storage == "arena" ? Place::arena : Place::persistent;
  entry.offset = offset;
}

void Program::alias(int id, int base, std::size_t offset, std::size_t advance) {
  require(id != base, "value ", id, " cannot be its own alias");
  value(base);
  ValueEntry& entry = value(id);
  entry.place = Place::alias;
  entry.alias_of = base;
  entry.offset = offset;
  entry.advance = advance;
}

void Program::repeat(int first, int last, int portions) {
  require(!finished_, "the program is finished");
  require(first >= 0 && first <= last && last < step_count() && portions > 0, "cannot repeat steps ", first,
          " to ", last);
  for (int i = first; i <= last; ++i)
    steps_[static_cast<std::size_t>(i)].portions = static_cast<std::size_t>(portions);
  steps_[static_cast<std::size_t>(first)].stretch = static_cast<std::size_t>(last - first + 1);
}

void Program::place_workspace(int index, std::size_t offset) {
  steps_.at(static_cast<std::size_t>(index)).workspace_offset = offset;
}

Program::~Program() {
  for (const auto& snapshot : snapshots_) snapshot->remove_reader(this);
}

void Program::bind_memory(int id, void* memory) {
  ValueEntry& entry = value(id);
  if (entry.place == Place::bound) {
    bound_[entry.slot] = static_cast<std::byte*>(memory);
  } else {
    entry.place = Place::bound;
    entry.slot = bound_.size();
    bound_.push_back(static_cast<std::byte*>(memory));
  }
}

void Program::bind(int id, void* memory, bool writable) {
  const Alone alone(running_);
  bind_memory(id, memory);
  if (writable) writes_bound_ = true;  // memory that moves later is of snapshots: runs read this beside it
}

void Program::bind_storage(int id, std::shared_ptr<Storage> storage, bool writable) {
  require(!finished_, "the program is finished");
  bind_memory(id, storage->data());
  accesses_.push_back({storage.get(), writable});
  storages_[id] = std::move(storage);
}

void Program::bind_snapshot(int id, std::shared_ptr<Snapshot> snapshot) {
  require(!finished_, "the program is finished");
  snapshots_.push_back(snapshot);
  snapshot->add_reader(this, id);
}

void Program::bind_random(int id) {
  value(id).place = Place::random;
  random_ = true;
}

void Program::count(std::shared_ptr<Storage> storage) {
  require(!finished_, "the program is finished");
  require(storage->desc().dtype == DType::i64 && storage->desc().numel() == 1, "expected an int64 scalar");
  accesses_.push_back({storage.get(), true});
  counted_.push_back(std::move(storage));
}

Storage* Program::storage_of(int id) const {
  while (id >= 0 && values_[static_cast<std::size_t>(id)].place == Place::alias)
    id = values_[static_cast<std::size_t>(id)].alias_of;
  const auto found = storages_.find(id);
  return found == storages_.end() ? nullptr : found->second.get();
}

void Program::set_inputs(const std::vector<int>& ids) {
  inputs_ = ids;
  staging_.assign(ids.size(), kNoStaging);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    ValueEntry& entry = value(ids[i]);
    require(entry.place == Place::none || entry.place == Place::arena, "input ", i,
            " already has a place outside the arena");
    if (entry.place == Place::arena) staging_[i] = entry.offset;  // placed before
    entry.place = Place::input;
    entry.slot = i;
  }
}

void Program::set_outputs(const std::vector<int>& ids) {
  outputs_ = ids;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    require(value(ids[i]).place == Place::none, "output ", i, " already has a place");
    value(ids[i]).place = Place::output;
    value(ids[i]).slot = i;
  }
}

Program::Address Program::resolve(int id) const {
  if (id < 0) return {};
  std::size_t offset = 0;
  std::size_t advance = 0;
  const ValueEntry* entry = &values_.at(static_cast<std::size_t>(id));
  for (std::size_t hops = 0; entry->place == Place::alias; ++hops) {
    require(hops < values_.size(), "aliases of value ", id, " form a cycle");
    offset += entry->offset;
    advance += entry->advance;
    entry = &values_[static_cast<std::size_t>(entry->alias_of)];
  }
  switch (entry->place) {
    case Place::arena:
      return {kArenaBase, offset + entry->offset, advance};
    case Place::persistent:
      return {kPersistentBase, offset + entry->offset, advance};
    case Place::bound:
      return {kFirstBound + entry->slot, offset, advance};
    case Place::random:
      return {kRandomBase, offset, advance};
    case Place::input:
      return {kFirstBound + bound_.size() + entry->slot, offset, advance};
    case Place::output:
      return {kFirstBound + bound_.size() + inputs_.size() + entry->slot, offset, advance};
    default:
      fail("value ", id, " ", values_[static_cast<std::size_t>(id)].desc.shape_text(),
           " has no place in memory");
  }
}

void Program::append_call(std::vector<Call>& calls, std::size_t index) {
  const StepEntry& entry = steps_[index];
  std::size_t guard = kNoGuard;
  for (std::size_t i = 0; i < entry.outputs.size(); ++i) {
    const bool guarded = std::find(guards_.begin(), guards_.end(), entry.outputs[i]) != guards_.end();
    if (guarded && entry.outputs[i] >= 0) guard = entry.inputs.size() + i;
  }
  calls.push_back({entry.step.get(), index, addresses_.size(), entry.inputs.size(), entry.outputs.size(),
                   entry.workspace_offset, guard, entry.portions, entry.stretch});
  for (const int id : entry.inputs) addresses_.push_back(resolve(id));
  for (const int id : entry.outputs) addresses_.push_back(resolve(id));
  max_tensors_ = std::max(max_tensors_, entry.inputs.size() + entry.outputs.size());
}

void Program::finish(std::size_t arena_bytes, std::size_t persistent_bytes, std::size_t setup_bytes) {
  require(!finished_, "the program is already finished");
  for (std::size_t i = 0; i < steps_.size(); ++i) append_call(steps_[i].setup ? setup_calls_ : calls_, i);
  accesses_ = Access::ordered(std::move(accesses_));
  for (const StepEntry& entry : steps_) {
    require(!entry.step->exchanges() || exchange_ != nullptr, entry.op, ": the program has no exchange");
    for (const int id : entry.inputs) {
      Storage* const storage = entry.setup ? storage_of(id) : nullptr;
      const bool known = std::find(followed_.begin(), followed_.end(), storage) != followed_.end();
      if (storage != nullptr && !known) followed_.push_back(storage);
    }
  }
  arena_bytes_ = arena_bytes;
  setup_bytes_ = setup_bytes;
  persistent_ = Buffer(persistent_bytes);
  finished_ = true;
}

std::unique_ptr<RunContext> Program::new_context(std::size_t arena_bytes) const {
  auto context = std::make_unique<RunContext>();
  context->arena = Buffer(arena_bytes);
  context->staged.resize(inputs_.size());
  context->bases.assign(kFirstBound + bound_.size() + inputs_.size() + outputs_.size(), nullptr);
  context->pointers.assign(max_tensors_, nullptr);
  return context;
}

std::unique_ptr<RunContext> Program::acquire() {
  require(finished_, "the program is not finished");
  std::unique_ptr<RunContext> context;
  {
    const std::lock_guard<std::mutex> lock(idle_mutex_);
    if (!idle_.empty()) {
      context = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  return context != nullptr ? std::move(context) : new_context(arena_bytes_);
}

void Program::release(std::unique_ptr<RunContext> context) {
  const std::lock_guard<std::mutex> lock(idle_mutex_);
  const bool cheap =
      idle_.size() < kIdleContexts && idle_.size() * (arena_bytes_ + staged_bytes_) <= kIdleBytes;
  if (idle_.empty() || cheap) idle_.push_back(std::move(context));
}

std::byte* Program::staging(RunContext& context, std::size_t i) {
  if (staging_.at(i) != kNoStaging) return context.arena.data() + staging_[i];
  Buffer& own = context.staged[i];
  const std::size_t bytes = desc(inputs_[i]).bytes();
  if (own.data() == nullptr) {
    own = Buffer(bytes);
    std::size_t all = 0;
    for (const Buffer& buffer : context.staged) all += buffer.size();
    const std::lock_guard<std::mutex> lock(idle_mutex_);
    staged_bytes_ = std::max(staged_bytes_, all);
  }
  return own.data();
}

std::size_t Program::staged_bytes() {
  const std::lock_guard<std::mutex> lock(idle_mutex_);
  return staged_bytes_;
}

bool Program::execute(const std::vector<Call>& calls, RunContext& context, double* seconds) const {
  const ThreadSnapshot threads;
  const FlushDenormals flush;
  const std::size_t needed = scratch_bytes_ * static_cast<std::size_t>(num_threads());
  if (context.scratch.size() < needed) context.scratch = Buffer(needed);
  for (std::size_t first = 0, end = 0; first < calls.size(); first = end) {
    end = first + calls[first].stretch;
    for (std::size_t portion = 0; portion < calls[first].portions; ++portion) {
      for (std::size_t i = first; i < end; ++i) {
        if (!run_call(calls[i], portion, context, seconds)) return false;
      }
    }
  }
  return true;
}

bool Program::run_call(const Call& call, std::size_t portion, RunContext& context, double* seconds) const {
  const double start = seconds != nullptr ? now() : 0.0;
  void** pointers = context.pointers.data();
  for (std::size_t i = 0; i < call.inputs + call.outputs; ++i) {
    const Address& address = addresses_[call.first + i];
    const std::size_t offset = address.offset + portion * address.advance;
    pointers[i] = address.base == kNullBase ? nullptr : context.bases[address.base] + offset;
  }
  StepArgs args;
  args.inputs = pointers;
  args.outputs = pointers + call.inputs;
  args.workspace = context.arena.data() + call.workspace_offset;
  args.scratch = context.scratch.data();
  args.scratch_stride = scratch_bytes_;
  args.exchange = exchange_.get();
  call.step->run(args);
  if (seconds != nullptr) seconds[call.entry] += now() - start;
  if (exchange_ != nullptr && exchange_->failed()) return false;
  return call.guard == kNoGuard || *static_cast<const std::int64_t*>(pointers[call.guard]) == 0;
}

void Program::after_fork_in_child() noexcept {
  if (renew_if_held(idle_mutex_))
    new (&idle_) std::vector<std::unique_ptr<RunContext>>;  // it may be half changed
}

void Program::place_bases(RunContext& context, void* const* inputs, void* const* outputs) const {
  auto& bases = context.bases;
  bases[kArenaBase] = context.arena.data();
  bases[kPersistentBase] = persistent_.data();
  bases[kRandomBase] = reinterpret_cast<std::byte*>(&context.random);
  std::copy(bound_.begin(), bound_.end(), bases.begin() + kFirstBound);
  auto* next = bases.data() + kFirstBound + bound_.size();
  for (std::size_t i = 0; i < inputs_.size(); ++i) *next++ = static_cast<std::byte*>(inputs[i]);
  for (std::size_t i = 0; i < outputs_.size(); ++i) *next++ = static_cast<std::byte*>(outputs[i]);
}

void Program::run(RunContext& context, void* const* inputs, void* const* outputs) {
  const Access access(accesses_);
  refresh();
  Alone alone;
  std::shared_lock<AccessLock> shared;
  if (writes_bound_) {
    alone = Alone(running_);
  } else {
    shared = std::shared_lock<AccessLock>(running_);
  }
  place_bases(context, inputs, outputs);
  const RandomState drawn = random_ ? next_random_state() : RandomState{};
  context.random = stream_of(drawn, random_stream_);
  const bool done = execute(calls_, context, nullptr);
  if (!done && random_) return_random_state(drawn);
  if (!done) return;
  for (const auto& storage : counted_) ++*reinterpret_cast<std::int64_t*>(storage->data());
}

void Program::measure(RunContext& context, void* const* inputs, void* const* outputs, int repeats,
                      double* seconds) {
  const Access access(accesses_);
  refresh();
  std::vector<std::pair<Storage*, Buffer>> before;
  for (const Access::Target& target : accesses_) {
    if (!target.write) continue;
    before.emplace_back(target.storage, Buffer(target.storage->desc().bytes()));
    std::memcpy(before.back().second.data(), target.storage->data(), before.back().second.size());
  }
  const Alone alone(running_);
  place_bases(context, inputs, outputs);
  context.random = stream_of(random_state(), random_stream_);
  std::vector<double> once(steps_.size());
  for (int i = 0; i < repeats; ++i) {
    std::fill(once.begin(), once.end(), 0.0);
    const bool done = execute(calls_, context, once.data());
    for (std::size_t k = 0; k < once.size(); ++k)
      seconds[k] = i == 0 ? once[k] : std::min(seconds[k], once[k]);
    if (!done) break;
  }
  for (const auto& [storage, contents] : before)
    std::memcpy(storage->data(), contents.data(), contents.size());
}

std::uint64_t Program::versions() const {
  std::uint64_t sum = 1;  // versions only grow: no two states have the same sum
  for (const Storage* storage : followed_) sum += storage->version();
  return sum;
}

void Program::refresh() {
  if (setup_calls_.empty() || packed_at_.load() == versions()) return;
  const Alone alone(running_);
  if (packed_at_.load() == versions()) return;
  packed_at_.store(0);
  const auto context = new_context(setup_bytes_);
  context->bases[kArenaBase] = context->arena.data();
  context->bases[kPersistentBase] = persistent_.data();
  std::copy(bound_.begin(), bound_.end(), context->bases.begin() + kFirstBound);
  execute(setup_calls_, *context, nullptr);
  packed_at_.store(versions());
}

void Program::setup() {
  require(finished_, "the program is not finished");
  const Access access(accesses_);
  refresh();
}

}  // namespace cnncore
