#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "connectors/clevertap_reads.hpp"
#include "core/read_json.hpp"

namespace sluice::ct {
namespace {

// The list is made for a month at a time; and for a month after a campaign's day its status and figures still change.
constexpr int month = 31;

// The campaigns that are scheduled for these days.
task<Batch> list(CleverTapApi& api, RecordReader& reader, Day from, Day to, Output& out) {
  const auto& path = api.profile().at("path.campaigns");
  auto body = window_body(api.profile(), {}, from, to);
  auto answer = co_await api.ask_with(family::campaigns, path, std::move(body), &out);
  auto page = reader.page(path, std::move(answer.body));
  co_return std::move(page.batch);
}

// Nothing while there is no result.
task<std::optional<std::string>> report(CleverTapApi& api, std::int64_t id, Output& out) {
  auto path = api.profile().at("path.campaign_report");
  auto body = fmt::format("{{\"{}\":{}}}", api.profile().at("parameter.campaign"), id);
  std::optional<std::string> text;
  try {
    auto answer = co_await api.ask_with(family::reports, std::move(path), std::move(body), &out);
    text = std::move(answer.body);
  } catch (const ApiError& error) {
    if (error.reason() != reason::no_result) throw;
  }
  co_return text;
}

void require_result(const CleverTapApi& api, const std::string& text) {
  const auto& profile = api.profile();
  const auto answer = read_json(text);
  api.require_success(answer, profile.at("path.campaign_report"), text);
  const auto& name = profile.at("key.result");
  if (!member(answer, profile, "key.result").is_object())
    api.not_understood(name, profile.at("path.campaign_report"), fmt::format("an object \"{}\"", name), "none", text);
}

}  // namespace

task<void> read_campaigns(CleverTapApi& api, const StreamSpec& stream, const Slice& slice, Output& out) {
  const auto days = asked_days(api, stream, slice, month);
  RecordReader reader(api, stream, "key.campaigns", [](Batch&) {});
  for (auto from = days.from; from <= days.to; from += month) {
    auto batch = co_await list(api, reader, from, std::min(from + (month - 1), days.to), out);
    if (!batch.empty()) co_await out.emit(std::move(batch));
  }
}

task<void> read_campaign_reports(CleverTapApi& api, const StreamSpec& stream, const Slice& slice, Output& out) {
  const auto days = asked_days(api, stream, slice, month);
  Faults none;
  const auto listed = configure("campaigns", Settings(), api.profile(), none);
  const auto id = place_of(listed, "id");
  RecordReader campaigns(api, listed, "key.campaigns", [](Batch&) {});
  for (auto from = days.from; from <= days.to; from += month) {
    auto found = co_await list(api, campaigns, from, std::min(from + (month - 1), days.to), out);
    if (!found.rejects.empty()) {
      Batch unreadable(stream.columns.size());
      unreadable.rejects = std::move(found.rejects);
      co_await out.emit(std::move(unreadable));
    }
    for (std::size_t i = 0; i < found.rows(); ++i) {
      const auto number = found.row(i)[id].integer;
      auto text = co_await report(api, number, out);
      if (!text) continue;
      require_result(api, *text);
      RecordReader reader(api, stream, "key.records", number_finisher(stream, "campaign_id", number));
      auto batch = reader.saved(std::move(*text));
      co_await out.emit(std::move(batch));
    }
  }
}

}  // namespace sluice::ct
