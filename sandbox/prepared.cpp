#include "sandbox/prepared.hpp"

#include "sandbox/insight_rows.hpp"

namespace sluice::sandbox {
namespace {

constexpr std::size_t kMostBytes = 256u << 20;

std::string key_of(const InsightsQuery& query, int weekday) {
  return fmt::format("{}|{}|{}|{}|{}", query.account, weekday, fmt::join(query.fields, ","),
                     fmt::join(query.windows, ","), fmt::join(query.action_breakdowns, ","));
}

}  // namespace

bool PreparedReports::fits(const InsightsQuery& query) {
  const bool daily = query.periods.size() == static_cast<std::size_t>(query.until - query.since + 1);
  const bool only_status =
      std::ranges::all_of(query.filters, [](const Filter& f) { return f.field == "effective_status"; });
  return query.level == Level::ad && query.scope == 0 && query.breakdowns.empty() && daily && only_status;
}

std::size_t PreparedReports::size(const InsightsQuery& query) const {
  return query.periods.size() * world_.accounts()[static_cast<std::size_t>(query.account)].of(Kind::ad).size();
}

void PreparedReports::append(const InsightsQuery& query, std::size_t first, std::size_t last, std::string& out) {
  const auto per_day = world_.accounts()[static_cast<std::size_t>(query.account)].of(Kind::ad).size();
  while (first < last) {
    const auto day = query.since + static_cast<std::int64_t>(first / per_day);
    const auto from = first % per_day;
    const auto to = std::min(per_day, from + (last - first));
    rows(query, day).append(from, to, format_day(day), out);
    first += to - from;
  }
}

const PreparedRows& PreparedReports::rows(const InsightsQuery& query, Day day) {
  const auto key = key_of(query, static_cast<int>(cctz::get_weekday(day)));
  if (const auto known = rows_.find(key); known != rows_.end()) return known->second;
  PreparedRows made;
  const RowWriter writer(world_, query, start_of(day + 1, utc()));
  InsightRow row;
  row.since = row.until = day;
  std::string text;
  for (const auto& ad : world_.accounts()[static_cast<std::size_t>(query.account)].of(Kind::ad)) {
    row.object = &ad;
    row.measures = settled_ad_day(world_, ad, day);
    text.clear();
    writer.write(row, text);
    made.add(text + ',', {"\"date_start\":\"", "\"date_stop\":\""});
  }
  bytes_ += made.bytes();
  if (bytes_ > kMostBytes) {
    bytes_ = made.bytes();
    rows_.clear();
  }
  return rows_[key] = std::move(made);
}

}  // namespace sluice::sandbox
