#include "connectors/clevertap.hpp"

#include <fmt/format.h>

#include "connectors/clevertap_reads.hpp"

namespace sluice {
namespace ct {
namespace {

class CleverTap final : public Connector {
 public:
  CleverTap(const Settings& source, const ConnectorContext& context)
      : api_(source, context), names_(api_), exports_(api_) {}

  std::vector<StreamSpec> catalogue() const override { return ct::catalogue(api_.profile()); }
  StreamSpec configure(const std::string& from, const Settings& options, Faults& faults) const override {
    return ct::configure(from, options, api_.profile(), faults);
  }
  task<std::vector<Partition>> partitions(const StreamSpec& stream) override;
  task<std::string> horizon(const StreamSpec& stream, const Partition& partition, Instant at) override;
  task<void> read(const StreamSpec& stream, const Slice& slice, Output& out) override;
  Batch parse(const StreamSpec& stream, const std::string& partition, std::string_view reply) const override;
  // Twice what one of its APIs takes at once: streams differ in the API that they use.
  int parallel_slices() const override { return 6; }
  std::optional<std::int64_t> estimated_requests(const StreamSpec& stream, std::int64_t slices) const override;
  std::string waiting_for() override { return api_.waiting_for(); }
  std::string base_url() const override { return api_.base_url(); }
  task<std::vector<Finding>> check() override;

 private:
  task<void> check_account(std::vector<Finding>& findings);

  CleverTapApi api_;
  EventNames names_;
  Exports exports_;
};

task<std::vector<Partition>> CleverTap::partitions(const StreamSpec& stream) {
  std::vector<Partition> partitions;
  if (stream.partition_column.empty()) {
    partitions.emplace_back("", api_.zone());
    co_return partitions;
  }
  auto names = StreamChoice(stream).names;
  if (names.empty()) names = co_await names_.all();
  for (const auto& name : names) {
    auto& partition = partitions.emplace_back(name, api_.zone(), name);
    const auto why = stream.from == "events" ? exports_.not_offered(name) : std::nullopt;
    partition.active = !why;
    partition.inactive_reason = why.value_or("");
  }
  co_return partitions;
}

task<std::string> CleverTap::horizon(const StreamSpec&, const Partition&, Instant at) {
  co_return format_instant(std::chrono::floor<std::chrono::seconds>(at));
}

task<void> CleverTap::read(const StreamSpec& stream, const Slice& slice, Output& out) {
  if (stream.from == "events") return exports_.read_events(stream, slice, out);
  if (stream.from == "profiles") return exports_.read_profiles(stream, slice, out);
  if (stream.from == "event_counts") return read_event_counts(api_, stream, slice, out);
  if (stream.from == "campaigns") return read_campaigns(api_, stream, slice, out);
  return read_campaign_reports(api_, stream, slice, out);
}

Batch CleverTap::parse(const StreamSpec& stream, const std::string& partition, std::string_view reply) const {
  std::string_view rows = "key.records";
  std::function<void(Batch&)> finish = [](Batch&) {};
  if (stream.from == "events") {
    // The records do not say of which event they are.
    const auto names = StreamChoice(stream).names;
    const auto& event = partition.empty() && names.size() == 1 ? names.front() : partition;
    finish = event_finisher(stream, api_.zone(), event);
  } else if (stream.from == "profiles") {
    finish = profile_finisher(stream, api_.profile());
  } else if (stream.from == "campaigns") {
    rows = "key.campaigns";
  }
  RecordReader reader(api_, stream, rows, std::move(finish));
  return reader.saved(std::string(reply));
}

std::optional<std::int64_t> CleverTap::estimated_requests(const StreamSpec& stream, std::int64_t slices) const {
  if (stream.from == "event_counts") return slices;
  // One to begin, one page; and two counts.
  if (stream.from == "events") return slices * (StreamChoice(stream).reconcile ? 4 : 2);
  return {};
}

task<void> CleverTap::check_account(std::vector<Finding>& findings) {
  const auto names = co_await names_.all(true);
  findings.emplace_back(Finding::Level::ok,
                        fmt::format("the passcode is valid: the account has {} kinds of events", names.size()));
  findings.emplace_back(
      Finding::Level::ok,
      fmt::format("days are those of {}; the API does not name the project's zone, so compare it with the dashboard",
                  api_.zone().name()));
}

task<std::vector<Finding>> CleverTap::check() {
  std::vector<Finding> findings;
  try {
    co_await check_account(findings);
  } catch (const Error& error) {
    findings.emplace_back(Finding::Level::error, error.what());
  }
  co_return findings;
}

std::unique_ptr<Connector> make(const Settings& source, const ConnectorContext& context) {
  return std::make_unique<CleverTap>(source, context);
}

}  // namespace
}  // namespace ct

ConnectorKind clevertap() {
  return {"clevertap", ct::source_options(), ct::stream_options(), ct::make};
}

}  // namespace sluice
