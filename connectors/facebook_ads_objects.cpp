#include "connectors/facebook_ads_objects.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "connectors/facebook_ads_merge.hpp"
#include "connectors/facebook_ads_streams.hpp"

namespace sluice::facebook {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr const char* partition_fields = "account_id,name,account_status,timezone_name";

// Meta: of a closed or disabled account nothing changes any more.
const char* inactive_reason(std::int64_t status) {
  if (status == 2) return "the ad account is disabled";
  return status == 101 ? "the ad account is closed" : nullptr;
}

Partition partition_of(const std::string& id, const std::string& name, const std::string& zone, std::int64_t status) {
  Partition partition(id, utc(), name);
  if (const auto loaded = load_zone(zone)) {
    partition.zone = *loaded;
  } else {
    partition.active = false;
    partition.inactive_reason =
        fmt::format("its time zone \"{}\" is not known to this machine; update the package tzdata", zone);
  }
  if (const auto* reason = inactive_reason(status)) {
    partition.active = false;
    partition.inactive_reason = reason;
  }
  return partition;
}

std::vector<Column> partition_columns() {
  return {Column("account_id", Type::text, "", true), Column("name", Type::text), Column("account_status", Type::int64),
          Column("timezone_name", Type::text)};
}

Partition partition_of(const Batch& batch, std::size_t row) {
  const auto cells = batch.row(row);
  const auto text = [&](std::size_t i) {
    return cells[i].is_null() ? std::string() : std::string(batch.text(cells[i]));
  };
  return partition_of(text(0), text(1), text(3), cells[2].is_null() ? 1 : cells[2].integer);
}

Level level_of(const StreamSpec& stream) {
  if (stream.from == "campaigns") return Level::campaign;
  return stream.from == "adsets" ? Level::adset : Level::ad;
}

const char* edge_of(Level level) {
  return level == Level::campaign ? "campaigns" : level == Level::adset ? "adsets" : "ads";
}

// Where rows say what there is to read, one that is left out would be missed silently.
void refuse_rejects(const Batch& batch, const std::string& node) {
  if (batch.rejects.empty()) return;
  throw Error(Remedy::retry, fmt::format("{}: a row cannot be read: {}", node, batch.rejects.front().reason));
}

// The next page of objects. Meta refuses a page of one row now and then, for no reason that lasts.
task<std::optional<MappedPage>> next_page(EdgeWalk& walk) {
  try {
    co_return co_await walk.next();
  } catch (const ApiError& error) {
    if (error.remedy() != Remedy::shrink || error.reason() == facebook_reason::too_deep) throw;
    throw Error(
        Remedy::retry,
        fmt::format("even a page of one row was too large: {}. If it stays, ask for fewer fields", error.what()));
  }
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

// What the row mapper reads as one row, as a page.
std::string page_of(std::string object) {
  return "{\"data\":[" + std::move(object) + "]}";
}

}  // namespace

Accounts::Accounts(GraphApi& api) : api_(api), asking_(api.executor(), 1) {}

task<std::vector<Partition>> Accounts::partitions() {
  const auto permit = co_await asking_.acquire();
  const auto now = api_.clock().uptime();
  if (asked_ && now - *asked_ < 5min) co_return known_;
  auto fresh = co_await fetch();
  known_ = std::move(fresh);
  asked_ = now;
  co_return known_;
}

task<std::vector<Partition>> Accounts::fetch() {
  if (api_.accounts().empty()) co_return co_await fetch_all();
  co_return co_await fetch_named();
}

task<std::vector<Partition>> Accounts::fetch_all() {
  std::vector<Partition> all;
  RowMapper mapper(partition_columns(), {"account_id"});
  Headers parameters{{"fields", partition_fields}};
  Caller caller("");
  EdgeWalk walk(api_, mapper, "me/adaccounts", std::move(parameters), std::move(caller));
  for (auto page = co_await next_page(walk); page; page = co_await next_page(walk)) {
    refuse_rejects(page->batch, "me/adaccounts");
    for (std::size_t row = 0; row < page->batch.rows(); ++row) {
      auto partition = partition_of(page->batch, row);
      const auto same = [&](const Partition& p) { return p.id == partition.id; };  // pages shift while they are read
      if (std::none_of(all.begin(), all.end(), same)) all.push_back(std::move(partition));
    }
  }
  co_return all;
}

task<std::vector<Partition>> Accounts::fetch_named() {
  std::vector<Partition> all;
  const auto ids = api_.accounts();
  for (const auto& id : ids) {
    auto partition = co_await fetch_one(id);
    all.push_back(std::move(partition));
  }
  // One account that cannot be read is left out; if it is all of them, something else is wrong.
  const bool any = std::any_of(all.begin(), all.end(), [](const Partition& p) { return p.active || !p.name.empty(); });
  if (!any)
    throw Error(Remedy::give_up, fmt::format("none of the ad accounts can be read: {}", all.front().inactive_reason));
  co_return all;
}

task<Partition> Accounts::fetch_one(std::string id) {
  Headers parameters{{"fields", partition_fields}};
  Caller caller(id);
  std::optional<HttpResponse> answer;
  std::string refused;
  try {
    answer = co_await api_.get("act_" + id, std::move(parameters), std::move(caller));
  } catch (const ApiError& error) {
    if (error.reason() != facebook_reason::no_access) throw;
    refused = error.what();
  }
  if (!answer) {
    Partition partition(id);
    partition.active = false;
    partition.inactive_reason = refused;
    co_return partition;
  }
  RowMapper mapper(partition_columns(), {"account_id"});
  const auto page = mapper.map(page_of(std::move(answer->body)), "data");
  if (page.batch.rows() != 1) throw Error(Remedy::retry, fmt::format("act_{}: the answer is not an ad account", id));
  co_return partition_of(page.batch, 0);
}

task<void> read_accounts(GraphApi& api, const StreamSpec& stream, Output& out) {
  auto mapper = object_mapper(stream);
  const auto fields = object_fields(stream);
  const auto ids = api.accounts();
  if (ids.empty()) {
    Headers parameters{{"fields", fields}};
    Caller caller("", out);
    EdgeWalk walk(api, mapper, "me/adaccounts", std::move(parameters), std::move(caller));
    for (auto page = co_await next_page(walk); page; page = co_await next_page(walk))
      co_await out.emit(std::move(page->batch));
    co_return;
  }
  std::size_t refused = 0;
  for (const auto& id : ids) {
    Headers parameters{{"fields", fields}};
    Caller caller(id, out);
    std::optional<HttpResponse> answer;
    Batch batch(stream.columns.size());
    try {
      answer = co_await api.get("act_" + id, std::move(parameters), std::move(caller));
    } catch (const ApiError& error) {
      if (error.reason() != facebook_reason::no_access || ++refused == ids.size()) throw;
      // Its row stays as it is, and the quarantine says why.
      const auto row = guarded(stream, {{"account_id", id}});
      batch.rejects.push_back({json::array({row.at("account_id")}).dump(), error.what(), error.reason(), row.dump()});
    }
    if (answer) batch = mapper.map(page_of(std::move(answer->body)), "data").batch;
    co_await out.emit(std::move(batch));
  }
}

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

namespace {

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
