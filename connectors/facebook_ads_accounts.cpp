#include "connectors/facebook_ads_accounts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "connectors/facebook_ads_merge.hpp"
#include "connectors/facebook_ads_objects.hpp"
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
  if (all.empty())
    throw Error(Remedy::give_up, "the token can read no ad account: assign one to its user in Meta Business settings");
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
      batch.rejects.push_back(
          {json::array({row.at("account_id")}).dump(), error.what(), std::string(unread_rule), row.dump()});
    }
    if (answer) batch = mapper.map(page_of(std::move(answer->body)), "data").batch;
    co_await out.emit(std::move(batch));
  }
}

}  // namespace sluice::facebook
