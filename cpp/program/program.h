// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/access_lock.h"
#include "core/buffer.h"
#include "core/fork.h"
#include "program/exchange.h"
#include "program/random_state.h"
#include "program/step.h"
#include "program/storage.h"

namespace cnncore {

/// Memory of one run: arena, per-thread scratch and the base address of every storage.
/// A program keeps a few idle ones, so that callers in several threads do not wait for each other.
struct RunContext {
  Buffer arena;
  std::vector<Buffer> staged;  // of inputs that the plan expects as they are used
  Buffer scratch;
  std::vector<std::byte*> bases;
  std::vector<void*> pointers;  // of the running step's tensors
  RandomState random;
};

/// A flat list of steps over planned memory. Built once from Python: values, steps, places, finish();
/// then run many times in one call without looking anything up.
class Program : public Snapshot::Reader, private ForkListener {
 public:
  /// Where a value lives: an offset from one base address.
  enum class Place { none, arena, persistent, bound, random, input, output, alias };

  Program() = default;
  ~Program() override;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  int add_value(const TensorDesc& desc);
  int add_step(const std::string& op, const std::vector<int>& inputs, const std::vector<int>& outputs,
               Attrs attrs, bool setup, const std::string& label);

  void place(int value, const std::string& storage, std::size_t offset);
  /// `advance`: bytes from the value of one portion to that of the next, see `repeat`.
  void alias(int value, int base, std::size_t offset, std::size_t advance);
  void place_workspace(int step, std::size_t offset);
  /// Lets a value be this memory, which only this program writes to, if `writable`; called again for other
  /// memory, it returns when no run uses the old.
  void bind(int value, void* memory, bool writable = false);
  void bind_storage(int value, std::shared_ptr<Storage> storage, bool writable);
  void bind_snapshot(int value, std::shared_ptr<Snapshot> snapshot);
  void rebind(int value, void* memory) override { bind(value, memory); }
  /// Lets a value be the seed and step of a run's random numbers.
  void bind_random(int value);
  /// Makes every run that is not refused add 1 to an int64 scalar.
  void count(std::shared_ptr<Storage> storage);
  void set_inputs(const std::vector<int>& values);
  void set_outputs(const std::vector<int>& values);
  /// What steps reach other processes by; set before `finish`.
  void set_exchange(std::shared_ptr<Exchange> exchange) { exchange_ = std::move(exchange); }
  /// Makes runs draw other random numbers than those of another stream; 0 is the plain one.
  void set_random_stream(std::int64_t stream) { random_stream_ = stream; }
  /// Lets steps `first` to `last` run as often as there are portions of the batch, which they work on in
  /// turn.
  void repeat(int first, int last, int portions);
  /// int64 scalars that must be 0: a run ends after the step that makes one of them anything else.
  void set_guards(const std::vector<int>& values) { guards_ = values; }
  void finish(std::size_t arena_bytes, std::size_t persistent_bytes, std::size_t setup_bytes);

  /// Runs the setup steps (weight packing, folding) into persistent memory, unless what they read is as it
  /// was when they last ran.
  void setup();

  std::unique_ptr<RunContext> acquire();
  void release(std::unique_ptr<RunContext> context);
  /// Memory of `context` to convert input `i` in: in the arena, or made now where the plan has none for it.
  std::byte* staging(RunContext& context, std::size_t i);
  /// What a run has taken at most to convert inputs that have no place in the plan.
  std::size_t staged_bytes();
  /// Runs all steps, after the setup steps where what they read has changed. Nobody else writes what it reads
  /// meanwhile, or uses what it writes; versions, counts and the random state have grown when it returns.
  void run(RunContext& context, void* const* inputs, void* const* outputs);
  /// Runs `repeats` times; `seconds` receives each step's least time. Storages, counts and the random state
  /// are afterwards as before.
  void measure(RunContext& context, void* const* inputs, void* const* outputs, int repeats, double* seconds);

  struct StepEntry {
    std::string op;
    std::string label;
    bool setup = false;
    std::unique_ptr<Step> step;
    std::vector<int> inputs;
    std::vector<int> outputs;
    std::size_t workspace_offset = 0;
    std::size_t portions = 1;
    std::size_t stretch = 1;  // steps from this one on that a portion passes before the next
    double bytes = 0;
  };

  const StepEntry& step(int index) const { return steps_.at(static_cast<std::size_t>(index)); }
  int step_count() const { return static_cast<int>(steps_.size()); }
  const TensorDesc& desc(int value) const { return values_.at(static_cast<std::size_t>(value)).desc; }
  const std::vector<int>& inputs() const { return inputs_; }
  const std::vector<int>& outputs() const { return outputs_; }
  std::size_t scratch_bytes_per_thread() const { return scratch_bytes_; }

 private:
  struct Address {
    std::size_t base = 0;
    std::size_t offset = 0;
    std::size_t advance = 0;  // from portion to portion
  };
  struct ValueEntry {
    TensorDesc desc;
    Place place = Place::none;
    std::size_t offset = 0;
    std::size_t advance = 0;
    int alias_of = -1;
    std::size_t slot = 0;  // index among the bound, input or output values
    Address address;
  };
  /// A step ready to run: its tensors' addresses in one flat table (inputs, then outputs).
  struct Call {
    const Step* step;
    std::size_t entry;
    std::size_t first;  // into addresses_
    std::size_t inputs;
    std::size_t outputs;
    std::size_t workspace_offset;
    std::size_t guard;  // the position of a guard among its tensors, or kNoGuard
    std::size_t portions;
    std::size_t stretch;
  };
  static constexpr std::size_t kNoGuard = static_cast<std::size_t>(-1);

  /// Runs of the parent's other threads have no end in the child; their contexts stay with them.
  void after_fork_in_child() noexcept override;

  ValueEntry& value(int id);
  Address resolve(int id) const;
  StepTensor tensor(int id) const;
  std::unique_ptr<RunContext> new_context(std::size_t arena_bytes) const;
  void bind_memory(int value, void* memory);
  void place_bases(RunContext& context, void* const* inputs, void* const* outputs) const;
  /// What `setup` does; the caller may read all storages.
  void refresh();
  std::uint64_t versions() const;
  /// The storage that a value is, or is a part of; nullptr for other memory.
  Storage* storage_of(int id) const;
  void append_call(std::vector<Call>& calls, std::size_t index);
  /// Returns false when a guard ends the run.
  bool execute(const std::vector<Call>& calls, RunContext& context, double* seconds) const;
  /// Returns false when a guard ends the run.
  bool run_call(const Call& call, std::size_t portion, RunContext& context, double* seconds) const;

  std::vector<ValueEntry> values_;
  std::vector<StepEntry> steps_;
  std::vector<int> inputs_;
  std::vector<int> outputs_;
  std::vector<int> guards_;
  std::vector<std::size_t> staging_;
  std::vector<std::byte*> bound_;
  std::map<int, std::shared_ptr<Storage>> storages_;  // by value
  std::vector<std::shared_ptr<Snapshot>> snapshots_;
  std::vector<std::shared_ptr<Storage>> counted_;
  std::shared_ptr<Exchange> exchange_;
  std::vector<Access::Target> accesses_;  // of a run
  std::vector<Storage*> followed_;        // what setup steps read
  std::atomic<std::uint64_t> packed_at_{
      0};  // the versions of `followed_` that the setup steps have seen, plus 1
  bool random_ = false;
  std::int64_t random_stream_ = 0;
  bool writes_bound_ = false;  // then runs exclude each other
  bool finished_ = false;

  std::size_t arena_bytes_ = 0;  // of a run
  std::size_t setup_bytes_ = 0;  // of the arena that setup steps use
  std::size_t scratch_bytes_ = 0;
  std::size_t max_tensors_ = 0;
  Buffer persistent_;
  std::vector<Address> addresses_;
  std::vector<Call> setup_calls_;
  std::vector<Call> calls_;

  AccessLock running_;  // runs hold it side by side
  std::mutex idle_mutex_;
  std::vector<std::unique_ptr<RunContext>> idle_;
  std::size_t staged_bytes_ = 0;
};

}  // namespace cnncore
