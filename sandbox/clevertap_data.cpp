#include "sandbox/clevertap_data.hpp"

#include <cctz/time_zone.h>
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "sandbox/text.hpp"

namespace sluice::sandbox {
namespace {

using namespace std::chrono_literals;

constexpr int kPeople = 400;
constexpr std::string_view kNames[] = {"Asha", "Bilal", "Chandra", "Dörte", "Esra", "Farhan", "Ganga", "さくら"};
constexpr std::string_view kProducts[] = {"Kurta", "Sari", "Dosa pan", "Tea – Assam", "Lamp \"Diwali\"", "Ball"};
constexpr std::string_view kCities[] = {"Pune", "Chennai", "Delhi", "Kochi"};
constexpr std::string_view kSources[] = {"Others", "Organic", "Email", "Push"};

std::int64_t day_count(Day day) {
  return day - Day(1970, 1, 1);
}

std::uint64_t hash_of_person(std::uint64_t seed, int person) {
  return hash_of(seed, person, 78);
}

}  // namespace

std::string app_stamp(Instant when, const Zone& zone) {
  return cctz::format("%Y%m%d%H%M%S", std::chrono::floor<std::chrono::seconds>(when), zone);
}

const std::vector<AppWorld::EventKind>& AppWorld::kinds() {
  static const std::vector<EventKind> all = {{"App Launched", 60, 160, true},
                                             {"Charged", 4, 25, true},
                                             {"Product Viewed", 80, 240, true},
                                             {"Notification Viewed", 20, 60, false}};
  return all;
}

AppWorld::AppWorld(const Options& options) : seed_(options.seed), exact_(options.rows_per_day) {
  const auto zone = load_zone("Asia/Kolkata");
  if (!zone) throw std::runtime_error("this machine's zone database lacks Asia/Kolkata");
  zone_ = *zone;
}

std::uint64_t AppWorld::hash(const Event& event) const {
  return hash_of(seed_, event.kind, exact_ > 0 ? 0 : day_count(event.day), event.number, 77);
}

int AppWorld::of_day(int kind, Day day) const {
  if (exact_ > 0) return exact_;
  const auto& like = kinds()[static_cast<std::size_t>(kind)];
  return static_cast<int>(between(hash_of(seed_, kind, day_count(day)), like.least, like.most));
}

AppWorld::Moment AppWorld::moment(const Event& event) const {
  const auto hash = this->hash(event);
  const auto second = exact_ > 0 ? event.number % 86'400 : between(mix(hash), 0, 86'399);
  const auto happened = start_of(event.day, zone_) + std::chrono::seconds(second);
  Moment moment{happened, happened};
  // One in ten is sent late, by up to two days.
  if (exact_ == 0 && hash % 10 == 0) moment.arrived += std::chrono::seconds(between(mix(hash + 1), 60, 172'800));
  return moment;
}

std::vector<AppWorld::Event> AppWorld::events(int kind, Day from, Day to, Instant now) const {
  std::vector<Event> found;
  to = std::min(to, day_of(now, zone_));
  for (auto day = from; day <= to; ++day) {
    const int all = of_day(kind, day);
    for (int i = 0; i < all; ++i) {
      const Event event{kind, day, i};
      if (moment(event).arrived <= now) found.push_back(event);
    }
  }
  return found;
}

std::int64_t AppWorld::count(int kind, Day from, Day to, Instant now) const {
  return static_cast<std::int64_t>(events(kind, from, to, now).size());
}

int AppWorld::person_of(const Event& event) const {
  return static_cast<int>(mix(hash(event) + 5) % kPeople);
}

std::vector<int> AppWorld::people(const std::vector<Event>& events) const {
  std::vector<int> all;
  for (const auto& event : events) all.push_back(person_of(event));
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

// One in five is not known by name.
std::string AppWorld::identity_members(int person) const {
  if (person % 5 == 4) return {};
  const auto hash = hash_of_person(seed_, person);
  const auto name = kNames[hash % std::size(kNames)];
  auto text = fmt::format(R"("identity":"{}","name":{},)", 10'000 + person, json_string(name));
  if (person % 7 != 0) text += fmt::format(R"("email":"user{}@example.com",)", person);
  const auto phone = 919'800'000'000 + static_cast<std::int64_t>(hash % 100'000'000);
  text += person % 3 == 0 ? fmt::format(R"("phone":"+{}",)", phone) : fmt::format(R"("phone":{},)", phone);
  return text;
}

std::string AppWorld::more_members(int person, const Include& include, Instant now) const {
  const auto hash = hash_of_person(seed_, person);
  std::string text;
  if (include.profile)
    text += fmt::format(R"("profileData":{{"Plan":"{}","City":"{}","Signed up":"$D_{}"}},)",
                        person % 4 == 0 ? "gold" : "free", kCities[hash % std::size(kCities)],
                        1'700'000'000 + static_cast<std::int64_t>(hash % 10'000'000));
  if (include.events)
    text += fmt::format(R"("events":{{"App Launched":{{"count":{},"first_seen":1700000000,"last_seen":{}}}}},)",
                        1 + hash % 50, unix_seconds(now) / 86'400 * 86'400);
  return text;
}

std::string AppWorld::properties(const Event& event) const {
  const auto hash = this->hash(event);
  const auto session = 1'600'000'000 + static_cast<std::int64_t>(hash % 90'000'000);
  switch (event.kind) {
    case 0:
      return fmt::format(R"({{"CT Session Id":{},"CT App Version":"1.{}"}})", session, hash % 9);
    case 1:
      return fmt::format(
          R"({{"CT Session Id":{},"Amount":{}.{:02},"Currency":"INR","Delivery":"$D_{}","Items":[{{"Product":{},"Quantity":{}}}]}})",
          session, 100 + hash % 9'000, hash % 100, session + 86'400,
          json_string(kProducts[hash % std::size(kProducts)]), 1 + hash % 4);
    default:
      return fmt::format(R"({{"CT Session Id":{},"Product":{},"Position":{}}})", session,
                         json_string(kProducts[hash % std::size(kProducts)]), hash % 20);
  }
}

std::string AppWorld::record(const Event& event, const Include& include, Instant now) const {
  const auto hash = this->hash(event);
  const int person = person_of(event);
  const bool android = person % 2 == 0;
  std::string app;
  if (include.app)
    app = fmt::format(R"("os_version":"{}","app_version":"1.{}","make":"{}","model":"X{}",)", 8 + hash % 7, hash % 9,
                      android ? "xiaomi" : "Apple", hash % 5);
  return fmt::format(R"({{"profile":{{{}{}{}"objectId":"__g{:016x}","platform":"{}"}},"ts":{},"event_props":{},)"
                     R"("session_props":{{"session_source":"{}","utm_medium":"m{}"}}}})",
                     identity_members(person), app, more_members(person, include, now), hash_of_person(seed_, person),
                     android ? "Android" : "iOS", app_stamp(moment(event).happened, zone_), properties(event),
                     kSources[hash % std::size(kSources)], hash % 3);
}

std::string AppWorld::profile(int person, const Include& include, Instant now) const {
  auto all = identity_members(person) + more_members(person, include, now);
  std::string device = fmt::format(R"("platform":"{}","objectId":"__g{:016x}")", person % 2 == 0 ? "Android" : "iOS",
                                   hash_of_person(seed_, person));
  if (include.app) device += R"(,"os_version":"14","app_version":"1.3","make":"xiaomi","model":"X1")";
  return fmt::format(R"({{{}"platformInfo":[{{{}}}]}})", all, device);
}

// One every third day, at ten in the morning.
std::vector<AppWorld::Campaign> AppWorld::campaigns(Day from, Day to) const {
  std::vector<Campaign> all;
  for (auto day = from; day <= to; ++day) {
    if (day_count(day) % 3 != 0) continue;
    Campaign campaign;
    campaign.id = 1'457'400'000 + day_count(day);
    campaign.name = fmt::format("Campaign of {}", format_day(day));
    campaign.scheduled = start_of(day, zone_) + 10h;
    all.push_back(std::move(campaign));
  }
  return all;
}

}  // namespace sluice::sandbox
