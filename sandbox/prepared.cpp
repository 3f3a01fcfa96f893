#include "sandbox/prepared.hpp"

#include <cstring>

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
    const auto& rows = block(query, day);
    const auto at = out.size();
    const auto room = (rows.starts[to] - rows.starts[from]) * ((last - first + to - from - 1) / (to - from));
    out.reserve(at + room + 1024);
    out.append(rows.text, rows.starts[from], rows.starts[to] - rows.starts[from]);
    const auto date = format_day(day);
    for (auto i = 2 * from; i < 2 * to; ++i)
      std::memcpy(out.data() + at + (rows.dates[i] - rows.starts[from]), date.data(), date.size());
    first += to - from;
  }
}

const PreparedReports::Block& PreparedReports::block(const InsightsQuery& query, Day day) {
  const auto weekday = static_cast<int>(cctz::get_weekday(day));
  auto& slot = blocks_[key_of(query, weekday)];
  if (slot) return *slot;
  auto made = std::make_unique<Block>();
  const auto& ads = world_.accounts()[static_cast<std::size_t>(query.account)].of(Kind::ad);
  const RowWriter writer(world_, query, start_of(day + 1, utc()));
  InsightRow row;
  row.since = row.until = day;
  for (const auto& ad : ads) {
    made->starts.push_back(made->text.size());
    row.object = &ad;
    row.measures = settled_ad_day(world_, ad, day);
    writer.write(row, made->text);
    for (const std::string_view key : {"\"date_start\":\"", "\"date_stop\":\""})
      made->dates.push_back(made->text.find(key, made->starts.back()) + key.size());
    made->text += ',';
  }
  made->starts.push_back(made->text.size());
  bytes_ += made->text.size();
  if (bytes_ > kMostBytes) {
    bytes_ = made->text.size();
    const auto key = key_of(query, weekday);
    blocks_.clear();
    return *(blocks_[key] = std::move(made));
  }
  return *(slot = std::move(made));
}

}  // namespace sluice::sandbox
