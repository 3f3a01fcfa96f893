#include "sandbox/world.hpp"

#include "sandbox/text.hpp"

namespace sluice::sandbox {
namespace {

using std::chrono::days;
using std::chrono::seconds;

struct Advertiser {
  std::string_view name;
  std::string_view currency;
  int decimals;
  std::string_view zone;
  int zone_id;
  int status;
};

constexpr Advertiser kAdvertisers[] = {
    {"Nordlicht Outdoor GmbH", "EUR", 2, "Europe/Berlin", 47, 1},
    {"Sunset Coffee Co. ☕", "USD", 2, "America/Los_Angeles", 1, 1},
    {"さくら商店", "JPY", 0, "Asia/Tokyo", 77, 1},
    {"Loja Azul", "BRL", 2, "America/Sao_Paulo", 25, 2},
    {"Masala Mart", "INR", 2, "Asia/Kolkata", 71, 1},
    {"Kiwi Threads", "NZD", 2, "Pacific/Auckland", 95, 1},
};

constexpr std::string_view kThemes[] = {"Spring sale",  "Frühjahr",   "Retargeting",  "Prospecting", "Lookalike 3 %",
                                        "Black Friday", "Always on",  "App installs", "Newsletter",  "Sommer – Reise",
                                        "Brand \"A\"",  "Q4\\launch", "新商品"};
constexpr std::string_view kAudiences[] = {"DE 25-44", "women 18-34", "cart abandoners", "broad", "parents", "東京"};
constexpr std::string_view kEmoji[] = {"🌸", "🚀", "👩‍👩‍👧", "🇩🇪", "❤️"};

std::string make_name(Kind kind, int index, std::uint64_t hash) {
  std::string name = fmt::format("{} | {} | {} {}", kThemes[hash % std::size(kThemes)],
                                 kAudiences[(hash >> 8) % std::size(kAudiences)], kind_name(kind), index + 1);
  if (index % 7 == 3) name = fmt::format("{} {}", kEmoji[(hash >> 16) % std::size(kEmoji)], name);
  if (index % 31 == 5)
    while (name.size() < 360) name += " – a name as long as people let their tools write it";
  return name;
}

// The end of an object's life, if it has one: most run on.
void set_end(Object& object, Instant born) {
  const auto dice = static_cast<int>(mix(object.hash + 1) % 100);
  const auto life = days(between(mix(object.hash + 2), 60, 800));
  const int running = object.kind == Kind::ad ? 62 : 84;
  if (dice < running) return;
  if (dice >= 98) {
    object.issue = object.kind == Kind::ad && dice == 99 ? "DISAPPROVED" : "WITH_ISSUES";
    return;
  }
  object.ended = born + life;
  constexpr std::string_view kEnds[] = {"PAUSED", "ARCHIVED", "DELETED"};
  object.end_status = kEnds[mix(object.hash + 3) % 3];
}

std::int64_t make_id(int account, Kind kind, int index, std::uint64_t hash) {
  return 120'200'000'000'000'000 + std::int64_t{account} * 10'000'000'000'000 + std::int64_t{index} * 10'000'000 +
         static_cast<std::int64_t>(kind) * 1'000'000 + static_cast<std::int64_t>(hash % 1'000'000);
}

}  // namespace

std::string_view kind_name(Kind kind) {
  constexpr std::string_view kNames[] = {"campaign", "adset", "ad", "creative"};
  return kNames[static_cast<std::size_t>(kind)];
}

World::World(const Options& options) : seed_(options.seed), exact_(options.rows_per_day > 0) {
  accounts_.reserve(static_cast<std::size_t>(options.accounts));
  for (int i = 0; i < options.accounts; ++i) make_account(i, options);
  for (auto& account : accounts_)
    for (auto& objects : account.objects)
      for (auto& object : objects) by_id_[object.id] = &object;
}

void World::make_account(int index, const Options& options) {
  const auto& like = kAdvertisers[static_cast<std::size_t>(index) % std::size(kAdvertisers)];
  const auto round = index / static_cast<int>(std::size(kAdvertisers));
  const auto hash = hash_of(seed_, index, 7);
  Account account;
  account.index = index;
  account.id = 100'000'000'000'000 + static_cast<std::int64_t>(hash % 890'000'000'000'000) / 1000 * 1000 + index % 1000;
  account.name = round == 0 ? std::string(like.name) : fmt::format("{} {}", like.name, round + 1);
  account.quoted_name = json_string(account.name);
  account.currency = like.currency;
  account.decimals = like.decimals;
  account.zone_name = like.zone;
  account.zone_id = like.zone_id;
  const auto zone = load_zone(like.zone);
  if (!zone) throw std::runtime_error(fmt::format("this machine's zone database lacks {}", like.zone));
  account.zone = *zone;
  account.created =
      start_of(Day(2019, 3, 1), account.zone) + days(between(hash, 0, 500)) + seconds(between(hash, 0, 86'399));
  account.business_id = 1'000'000'000'000'000 + between(mix(hash), 0, 8'000'000'000'000'000);

  account.status = exact_ ? 1 : like.status;
  const int ads = exact_ ? options.rows_per_day : options.ads;
  make_objects(account, Kind::campaign, std::max(1, ads / 12));
  make_objects(account, Kind::adset, std::max(1, ads / 4));
  make_objects(account, Kind::creative, std::max(1, ads * 3 / 4));
  make_objects(account, Kind::ad, ads);
  accounts_.push_back(std::move(account));
}

void World::make_objects(Account& account, Kind kind, int count) {
  auto& objects = account.objects[static_cast<std::size_t>(kind)];
  objects.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    Object object;
    object.kind = kind;
    object.account = account.index;
    object.hash = hash_of(seed_, account.index, static_cast<int>(kind), i);
    object.id = make_id(account.index, kind, i, object.hash);
    object.name = make_name(kind, i, object.hash);
    object.quoted_name = json_string(object.name);
    const Kind above = kind == Kind::ad ? Kind::adset : Kind::campaign;
    Instant born = start_of(Day(2023, 11, 1), account.zone) + days(between(object.hash, 0, 700));
    if (kind == Kind::ad || kind == Kind::adset) {
      const auto& parents = account.of(above);
      object.parent = i % static_cast<int>(parents.size());
      born = parents[static_cast<std::size_t>(object.parent)].created + days(between(object.hash, 0, 25));
    }
    if (kind == Kind::ad) object.creative = i % static_cast<int>(account.of(Kind::creative).size());
    if (exact_) born = start_of(Day(2021, 1, 1), account.zone);
    object.created = born + seconds(between(mix(object.hash), 0, 86'399));
    object.period = days(between(mix(object.hash + 9), 2, 60)) + seconds(between(object.hash, 0, 86'399));
    if (!exact_ && i > 0 && kind != Kind::creative) set_end(object, object.created);
    objects.push_back(std::move(object));
  }
}

const Account* World::account(std::int64_t id) const {
  const auto at = std::ranges::find(accounts_, id, &Account::id);
  return at == accounts_.end() ? nullptr : &*at;
}

const Object* World::object(std::int64_t id) const {
  const auto at = by_id_.find(id);
  return at == by_id_.end() ? nullptr : at->second;
}

const Object& World::parent(const Object& object) const {
  const Kind kind = object.kind == Kind::ad ? Kind::adset : Kind::campaign;
  return account_of(object).of(kind)[static_cast<std::size_t>(object.parent)];
}

const Object& World::above(const Object& object, Kind kind) const {
  return object.kind == kind ? object : above(parent(object), kind);
}

const Object& World::creative_of(const Object& ad) const {
  return account_of(ad).of(Kind::creative)[static_cast<std::size_t>(ad.creative)];
}

std::string_view World::status(const Object& object, Instant now) const {
  return object.ended && *object.ended <= now ? object.end_status : "ACTIVE";
}

std::string_view World::effective_status(const Object& object, Instant now) const {
  const auto own = status(object, now);
  if (own == "ARCHIVED" || own == "DELETED" || object.parent < 0)
    return own == "ACTIVE" && !object.issue.empty() ? object.issue : own;
  const auto& over = parent(object);
  const auto theirs = effective_status(over, now);
  if (theirs == "ARCHIVED" || theirs == "DELETED") return theirs;
  if (own != "ACTIVE") return own;
  if (theirs == "PAUSED") return over.kind == Kind::campaign ? "CAMPAIGN_PAUSED" : "ADSET_PAUSED";
  if (theirs == "CAMPAIGN_PAUSED") return theirs;
  return object.issue.empty() ? own : object.issue;
}

std::int64_t World::edits(const Object& object, Instant now) const {
  const auto until = object.ended ? std::min(*object.ended, now) : now;
  return until < object.created ? 0 : (until - object.created) / object.period;
}

Instant World::updated(const Object& object, Instant now) const {
  if (object.ended && *object.ended <= now) return *object.ended;
  return object.created + edits(object, now) * object.period;
}

std::optional<Instant> World::stopped(const Object& object) const {
  auto when = object.ended;
  if (object.parent >= 0) {
    const auto theirs = stopped(parent(object));
    if (theirs && (!when || *theirs < *when)) when = theirs;
  }
  return when;
}

bool World::end(std::int64_t id, std::string_view status, Instant when) {
  const auto at = by_id_.find(id);
  if (at == by_id_.end()) return false;
  for (const std::string_view known : {"PAUSED", "ARCHIVED", "DELETED"}) {
    if (status != known) continue;
    at->second->ended = when;
    at->second->end_status = known;
    return true;
  }
  return false;
}

}  // namespace sluice::sandbox
