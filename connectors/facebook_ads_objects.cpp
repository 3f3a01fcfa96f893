#include "connectors/facebook_ads_objects.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "connectors/facebook_ads_merge.hpp"
#include "connectors/facebook_ads_streams.hpp"

namespace sluice::facebook {
namespace {

Level level_of(const StreamSpec& stream) {
  if (stream.from == "campaigns") return Level::campaign;
  return stream.from == "adsets" ? Level::adset : Level::ad;
}

const char* edge_of(Level level) {
  return level == Level::campaign ? "campaigns" : level == Level::adset ? "adsets" : "ads";
}

// The objects of a level in an account, whatever their status. Meta walks only so many pages of one question: where
// there are more, it is asked for halves of the time in which the objects changed, the earlier one first: what changes
// meanwhile moves to the later one. Rows of the pages before may come twice.
class ObjectWalk {
 public:
  // `fixed`: conditions that every question has. `changed_after`: in unix seconds; nothing: whenever.
  ObjectWalk(GraphApi& api, RowMapper& mapper, Level level, std::string fields, Filters fixed,
             std::optional<std::int64_t> changed_after, Caller caller)
      : api_(api),
        mapper_(mapper),
        level_(level),
        fields_(std::move(fields)),
        fixed_(std::move(fixed)),
        caller_(std::move(caller)),
        node_(fmt::format("act_{}/{}", caller_.account, edge_of(level))),
        ranges_{{changed_after, {}}} {}

  task<std::optional<MappedPage>> next() {
    std::optional<MappedPage> page;
    while (!page && !ranges_.empty()) {
      if (!walk_) begin();
      bool too_deep = false;
      try {
        page = co_await next_page(*walk_);
      } catch (const ApiError& error) {
        if (error.reason() != facebook_reason::too_deep || !cut()) throw;
        too_deep = true;
      }
      if (page) break;
      walk_.reset();
      if (!too_deep) ranges_.pop_back();
    }
    co_return page;
  }

  const std::string& node() const { return node_; }

 private:
  struct Range {
    std::optional<std::int64_t> after, before;  // unix seconds, both exclusive
  };

  void begin() {
    auto filters = fixed_;
    const auto& range = ranges_.back();
    if (range.after) filters.updated_after(level_, *range.after);
    if (range.before) filters.updated_before(level_, *range.before);
    Headers parameters{{"fields", fields_}, {"filtering", filters.text()}};
    walk_.emplace(api_, mapper_, node_, std::move(parameters), caller_);
  }

  // False when the range holds one second only.
  bool cut() {
    constexpr std::int64_t first_ad = 1'072'915'200;  // 2004: Meta has nothing older
    const auto [after, before] = ranges_.back();
    const auto now = std::chrono::floor<std::chrono::seconds>(api_.clock().now().time_since_epoch()).count();
    const auto first = after.value_or(first_ad) + 1, last = before.value_or(now + 1) - 1;
    if (first >= last) return false;
    const auto middle = first + (last - first) / 2;
    ranges_.back() = {middle, before};
    ranges_.push_back({after, middle + 1});
    return true;
  }

  GraphApi& api_;
  RowMapper& mapper_;
  Level level_;
  std::string fields_;
  Filters fixed_;
  Caller caller_;
  std::string node_;
  std::vector<Range> ranges_;  // still to be read, the last one first
  std::optional<EdgeWalk> walk_;
};

Filters any_status(Level level) {
  Filters filters;
  filters.any_status(level);
  return filters;
}

std::optional<std::int64_t> changed_after(const Slice& slice) {
  const auto* range = slice.value_range();
  if (range == nullptr || !range->after) return {};
  const auto after = parse_instant(*range->after);
  if (!after)
    throw Error(Remedy::give_up, fmt::format("the progress \"{}\" of {} is not an instant like 2026-03-01T12:00:00Z",
                                             *range->after, slice.partition().id));
  // Meta: GREATER_THAN_OR_EQUAL is not supported for times.
  return std::chrono::floor<std::chrono::seconds>(after->time_since_epoch()).count() - 1;
}

}  // namespace

RowMapper object_mapper(const StreamSpec& stream) {
  RowMapper mapper(stream);
  mapper.ignore("id");  // Meta: every object comes with it
  return mapper;
}

void keep_each_creative_once(Batch& batch, const StreamSpec& stream) {
  if (stream.from != "creatives") return;
  const auto found =
      std::find_if(stream.columns.begin(), stream.columns.end(), [](const Column& c) { return c.name == "id"; });
  const auto id = static_cast<std::size_t>(found - stream.columns.begin());
  std::set<std::string> seen;
  for (std::size_t row = 0; row < batch.rows(); ++row) {
    const std::string text(batch.text(batch.row(row)[id]));
    if (text.empty() || !seen.insert(text).second) batch.discard(row);
  }
  batch.compact();
}

task<void> read_objects(GraphApi& api, const StreamSpec& stream, const Slice& slice, Output& out) {
  const auto level = level_of(stream);
  auto mapper = object_mapper(stream);
  Caller caller(slice.partition().id, out);
  ObjectWalk walk(api, mapper, level, object_fields(stream), any_status(level), changed_after(slice),
                  std::move(caller));
  for (auto page = co_await walk.next(); page; page = co_await walk.next()) {
    keep_each_creative_once(page->batch, stream);
    if (!page->batch.empty() || !page->batch.unknown_fields.empty()) co_await out.emit(std::move(page->batch));
  }
}

task<std::vector<std::string>> list_ids(GraphApi& api, Level level, Level above, std::vector<std::string> parents,
                                        Caller caller) {
  auto filters = any_status(level);
  if (!parents.empty()) filters.ids(above, parents);
  const std::vector<Column> columns{Column("id", Type::text, "", true)};
  RowMapper mapper(columns, {"id"});
  ObjectWalk walk(api, mapper, level, "id", std::move(filters), {}, std::move(caller));
  std::set<std::string> ids;  // pages shift while they are read: one may come twice
  for (auto page = co_await walk.next(); page; page = co_await walk.next()) {
    refuse_rejects(page->batch, walk.node());
    for (std::size_t row = 0; row < page->batch.rows(); ++row) ids.emplace(page->batch.text(page->batch.row(row)[0]));
  }
  co_return std::vector<std::string>(ids.begin(), ids.end());
}

}  // namespace sluice::facebook
