#include "connectors/google_ads_customers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "connectors/google_ads_json.hpp"
#include "connectors/google_ads_rows.hpp"
#include "core/read_json.hpp"

namespace sluice::google {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr Duration good_for = 1h;

Customer refused(const std::string& id, const Error& why) {
  Customer customer;
  customer.id = id;
  customer.refused = why;
  return customer;
}

Customer customer_of(const json& object) {
  Customer one;
  one.id = text_of(object, "id");
  if (one.id.empty()) throw Error(Remedy::retry, "the list of customers has one without an id");
  one.name = text_of(object, "descriptiveName");
  one.zone = text_of(object, "timeZone");
  one.status = text_of(object, "status");
  one.manager = flag_of(object, "manager");
  one.test = flag_of(object, "testAccount");
  one.given = object.dump(-1, ' ', false, json::error_handler_t::replace);
  return one;
}

// Google: test accounts are CLOSED, and can be read.
std::string why_left_out(const Customer& customer) {
  if (customer.refused) return customer.refused->what();
  if (customer.manager) return "it is a manager, and metrics are had from its clients: name these in `customers`";
  if (!customer.status.empty() && customer.status != "ENABLED" && !(customer.test && customer.status == "CLOSED"))
    return fmt::format("its status is {}", customer.status);
  return {};
}

Partition partition_of(const Customer& customer) {
  Partition partition(customer.id, utc(), customer.name);
  partition.inactive_reason = why_left_out(customer);
  if (const auto zone = load_zone(customer.zone))
    partition.zone = *zone;
  else if (partition.inactive_reason.empty())
    partition.inactive_reason =
        fmt::format("its time zone \"{}\" is not known to this machine; update the package tzdata", customer.zone);
  partition.active = partition.inactive_reason.empty();
  return partition;
}

// Why one of them refused; rather one that passes by itself. Null: none did.
const Error* refusal_of(const std::vector<Customer>& customers) {
  const Error* why = nullptr;
  for (const auto& customer : customers)
    if (customer.refused && (why == nullptr || customer.refused->passing())) why = &*customer.refused;
  return why;
}

// One for each customer that is no manager, or is `named` in the file. Throws when none can be read.
std::vector<Partition> partitions_of(const std::vector<Customer>& customers, bool named) {
  std::vector<Partition> all;
  for (const auto& customer : customers)
    if (named || !customer.manager) all.push_back(partition_of(customer));
  if (std::any_of(all.begin(), all.end(), [](const Partition& p) { return p.active; })) return all;
  if (const auto* why = refusal_of(customers); why != nullptr && why->passing()) throw Error(*why);
  if (all.empty())
    throw Error(Remedy::give_up,
                "there is no customer to read: give `customers`, or a login_customer_id with clients below it");
  throw Error(Remedy::give_up, fmt::format("none of the {} customers can be read; {}: {}", all.size(), all.front().id,
                                           all.front().inactive_reason));
}

const Customer* find(const std::vector<Customer>& all, const std::string& id) {
  const auto at = std::find_if(all.begin(), all.end(), [&](const Customer& c) { return c.id == id; });
  return at == all.end() ? nullptr : &*at;
}

}  // namespace

Customers::Customers(GoogleApi& api) : api_(api), asking_(api.executor(), 1) {}

task<std::vector<Partition>> Customers::partitions() {
  const auto permit = co_await asking_.acquire();
  const auto now = api_.clock().uptime();
  if (asked_ && now - *asked_ < good_for) co_return known_;
  std::vector<Partition> fresh;
  std::optional<Error> failure;
  try {
    const auto customers = co_await fetch();
    fresh = partitions_of(customers, !api_.customers().empty());
  } catch (const Error& error) {
    failure = error;
  }
  // Who the customers are and what zones they have changes rarely: one that cannot be asked now must not stop the
  // others.
  if (failure && failure->passing() && asked_) co_return known_;
  if (failure) throw Error(*failure);
  known_ = std::move(fresh);
  asked_ = now;
  co_return known_;
}

bool Customers::leave_out(const std::string& id, const std::string& why) {
  const auto others =
      std::count_if(known_.begin(), known_.end(), [&](const Partition& p) { return p.active && p.id != id; });
  if (others == 0) return false;
  for (auto& partition : known_) {
    if (partition.id != id) continue;
    partition.active = false;
    partition.inactive_reason = why;
  }
  return true;
}

std::string Customers::left_out(const std::string& id) const {
  const auto at = std::find_if(known_.begin(), known_.end(), [&](const Partition& p) { return p.id == id; });
  return at == known_.end() || at->active ? std::string() : at->inactive_reason;
}

task<std::vector<Customer>> Customers::fetch() {
  if (!api_.login().empty()) co_return co_await fetch_below_login();
  if (!api_.customers().empty()) co_return co_await fetch_named();
  co_return co_await fetch_accessible();
}

task<std::vector<Customer>> Customers::ask(std::string customer, std::string resource) {
  std::vector<Customer> found;
  const auto query = fmt::format(
      "SELECT {0}.id, {0}.descriptive_name, {0}.currency_code, {0}.time_zone, {0}.manager, {0}.test_account, "
      "{0}.status "
      "FROM {0} PARAMETERS omit_unselected_resource_names=true",
      resource);
  PageGuard guard;
  for (std::string token;;) {
    Caller caller;
    const auto answer = co_await api_.search(customer, query, token, caller);
    api_.check_part(answer.body, customer);
    const auto page = read_json(answer.body);
    for (const auto& row : member(page, "results")) {
      auto one = customer_of(member(row, json_path(resource).c_str()));
      // A client may stand below several managers.
      if (find(found, one.id) == nullptr) found.push_back(std::move(one));
    }
    token = text_of(page, "nextPageToken");
    if (token.empty()) co_return found;
    guard.visit(token);
  }
}

task<std::vector<Customer>> Customers::ask_or_leave_out(std::string customer, std::string resource) {
  std::vector<Customer> found;
  try {
    found = co_await ask(customer, std::move(resource));
  } catch (const ApiError& error) {
    if (error.reason() != reason::no_access && error.reason() != reason::customer_quota) throw;
    found.push_back(refused(customer, error));
  }
  co_return found;
}

// The manager and all below it.
task<std::vector<Customer>> Customers::fetch_below_login() {
  const auto login = api_.login();
  auto tree = co_await ask(login, "customer_client");
  const auto& named = api_.customers();
  if (named.empty()) co_return tree;
  std::vector<Customer> wanted;
  for (const auto& id : named) {
    if (const auto* known = find(tree, id)) {
      wanted.push_back(*known);
      continue;
    }
    const Error why(Remedy::give_up, fmt::format("it is not below the manager {} (login_customer_id)", login));
    wanted.push_back(refused(id, why));
  }
  co_return wanted;
}

task<std::vector<Customer>> Customers::fetch_named() {
  std::vector<Customer> all;
  const auto ids = api_.customers();
  for (const auto& id : ids) {
    auto found = co_await ask_or_leave_out(id, "customer");
    const Error unknown(Remedy::give_up, "the API knows nothing of it");
    all.push_back(found.empty() ? refused(id, unknown) : std::move(found.front()));
  }
  co_return all;
}

task<std::vector<Customer>> Customers::fetch_accessible() {
  const auto answer = co_await api_.accessible();
  const auto list = read_json(answer.body);
  std::vector<std::string> roots;
  for (const auto& name : member(list, "resourceNames"))
    if (name.is_string()) roots.push_back(name.get<std::string>().substr(name.get<std::string>().rfind('/') + 1));
  std::vector<Customer> all;
  for (const auto& root : roots) {
    api_.reach(root, root);
    auto tree = co_await ask_or_leave_out(root, "customer_client");
    for (auto& customer : tree) {
      const bool direct = std::find(roots.begin(), roots.end(), customer.id) != roots.end();
      if (find(all, customer.id) != nullptr || (direct && customer.id != root)) continue;
      if (!direct) api_.reach(customer.id, root);
      all.push_back(std::move(customer));
    }
  }
  co_return all;
}

void Customers::tell_missing(const Customer& customer) {
  if (told_missing_.insert(customer.id).second)
    api_.warn(fmt::format("the table of customers misses {}, or has it as it was: {}", customer.id,
                          customer.refused->what()));
}

task<void> Customers::read(const StreamSpec& stream, Output& out) {
  const auto customers = co_await fetch();
  std::string rows;
  for (const auto& customer : customers) {
    if (customer.refused)
      tell_missing(customer);
    else
      rows += fmt::format("{}{{\"customer\":{}}}", rows.empty() ? "" : ",", customer.given);
  }
  if (const auto* why = refusal_of(customers); why != nullptr && rows.empty()) throw Error(*why);
  RowReader reader(stream);
  auto page = reader.map("[" + rows + "]");
  co_await out.emit(std::move(page.batch));
}

}  // namespace sluice::google
