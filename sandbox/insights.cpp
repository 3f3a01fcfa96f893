#include "sandbox/insights.hpp"

#include "sandbox/text.hpp"

namespace sluice::sandbox {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;

std::int64_t day_number(Day day) {
  return day - Day(1970, 1, 1);
}

// What the day will have brought once everything is known, and the share of conversions that come late.
struct Whole {
  std::uint64_t hash = 0;
  Measures base;
  std::int64_t conversions = 0;
  std::int64_t price = 0;
};

Whole whole_day(const World& world, const Object& ad, Day day) {
  Whole whole;
  whole.hash = hash_of(world.seed(), ad.id, day_number(day));
  const auto h = whole.hash;
  auto& n = whole.base.counts;
  whole.base.delivered = true;
  const auto size = between(mix(ad.hash + 20), 60, 4000) * between(mix(ad.hash + 21), 1, 6);
  const auto weekday = static_cast<std::int64_t>(cctz::get_weekday(day));
  n[impressions] = size * between(mix(h), 70, 130) / 100 * (weekday >= 5 ? 13 : 10) / 10;
  n[reach] = n[impressions] * between(mix(h + 1), 55, 95) / 100;
  n[clicks] = n[impressions] * between(mix(ad.hash + 22), 6, 35) / 1000;
  n[unique_clicks] = n[clicks] * 9 / 10;
  n[link_clicks] = n[clicks] * between(mix(h + 2), 50, 90) / 100;
  n[landings] = n[link_clicks] * 7 / 10;
  n[reactions] = n[clicks] / 9;
  n[video_views] = ad.hash % 3 == 0 ? n[impressions] / 6 : 0;
  n[video_half] = n[video_views] / 3;
  n[video_full] = n[video_views] / 8;
  n[spend] = n[impressions] * between(mix(ad.hash + 23), 280, 1900) / 1000 + between(mix(h + 3), 0, 9);
  whole.conversions = std::min<std::int64_t>(n[link_clicks] * between(mix(ad.hash + 24), 0, 40) / 1000, 12);
  whole.price = between(mix(ad.hash + 25), 900, 14'900);
  return whole;
}

// Meta attributes a conversion to the day of the click or view, up to 28 days later.
void add_conversions(const Whole& whole, std::int64_t days_passed, Measures& m) {
  for (std::int64_t i = 0; i < whole.conversions; ++i) {
    const auto h = hash_of(whole.hash, i, 5);
    const auto dice = h % 100;
    const bool view = dice < 18;
    const std::int64_t delay = view || dice < 60 ? static_cast<std::int64_t>(h >> 40) % 2
                               : dice < 86       ? 2 + static_cast<std::int64_t>(h >> 40) % 6
                                                 : 8 + static_cast<std::int64_t>(h >> 40) % 20;
    if (delay > days_passed) continue;
    const std::size_t way = view ? 3 : delay <= 1 ? 0 : delay <= 7 ? 1 : 2;
    m.counts[cart_d1 + way] += 1 + static_cast<std::int64_t>(h >> 20) % 3;
    if ((h >> 30) % 3 == 0) continue;
    ++m.counts[purchase_d1 + way];
    m.counts[revenue_d1 + way] += whole.price;
  }
}

bool runs_on(const World& world, const Object& ad, Day day, const Zone& zone) {
  if (day < day_of(ad.created, zone)) return false;
  const auto stopped = world.stopped(ad);
  if (stopped && day_of(*stopped, zone) < day) return false;
  if (ad.issue == "DISAPPROVED") return false;
  return world.account_of(ad).status != 2 || day < Day(2025, 6, 1);
}

void scale(Measures& m, std::int64_t part, std::int64_t whole) {
  for (auto& n : m.counts) n = n * part / whole;
}

struct Part {
  std::uint64_t low = 0;
  std::uint64_t high = 0;  // of 2^32
};

// How an ad's day falls into the values of a breakdown. The parts add up to the whole exactly.
std::vector<Part> parts_of(std::uint64_t hash, std::size_t values) {
  std::vector<std::uint64_t> weights;
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < values; ++i) {
    const auto h = hash_of(hash, i);
    weights.push_back(h % 5 == 0 && i > 0 ? 0 : 20 + h % 100);
    sum += weights.back();
  }
  std::vector<Part> parts;
  std::uint64_t at = 0;
  for (const auto weight : weights) {
    Part part;
    part.low = (at << 32) / sum;
    at += weight;
    part.high = (at << 32) / sum;
    parts.push_back(part);
  }
  return parts;
}

Measures cut(const Measures& whole, Part part) {
  Measures out;
  for (std::size_t i = 0; i < kCounts; ++i) {
    const auto n = static_cast<std::uint64_t>(whole.counts[i]);
    out.counts[i] = static_cast<std::int64_t>(((n * part.high) >> 32) - ((n * part.low) >> 32));
  }
  out.delivered = !out.all_zero();
  return out;
}

class Gathering {
 public:
  Gathering(const World& world, const InsightsQuery& query) : world_(world), query_(query) {
    for (const auto& name : query.breakdowns) dimensions_.push_back(breakdown_values(name));
  }

  void add(const Object& ad, Day day, const Measures& m) {
    std::size_t object = 0;
    if (query_.level != Level::account)
      object = index_of(world_.above(ad, static_cast<Kind>(static_cast<int>(query_.level) - 1)));
    spread(hash_of(ad.id, day_number(day)), 0, 0, object, m);
  }

  void finish(Day since, Day until, std::vector<InsightRow>& out) {
    for (auto& [key, measures] : sums_) {
      InsightRow row;
      row.since = since;
      row.until = until;
      row.measures = measures;
      if (query_.level != Level::account) row.object = objects_[key.first];
      auto combination = key.second;
      row.breakdown_values.resize(dimensions_.size());
      for (std::size_t i = dimensions_.size(); i-- > 0;) {
        row.breakdown_values[i] = (*dimensions_[i])[combination % dimensions_[i]->size()];
        combination /= dimensions_[i]->size();
      }
      out.push_back(std::move(row));
    }
    sums_.clear();
  }

 private:
  std::size_t index_of(const Object& object) {
    const auto [at, fresh] = indices_.emplace(&object, objects_.size());
    if (fresh) objects_.push_back(&object);
    return at->second;
  }

  void spread(std::uint64_t hash, std::size_t dimension, std::size_t combination, std::size_t object,
              const Measures& m) {
    if (dimension == dimensions_.size()) {
      if (m.delivered) sums_[{object, combination}] += m;
      return;
    }
    const auto size = dimensions_[dimension]->size();
    const auto parts = parts_of(hash_of(hash, dimension, combination), size);
    for (std::size_t i = 0; i < size; ++i)
      spread(hash, dimension + 1, combination * size + i, object, cut(m, parts[i]));
  }

  const World& world_;
  const InsightsQuery& query_;
  std::vector<const std::vector<std::string_view>*> dimensions_;
  std::vector<const Object*> objects_;
  std::map<const Object*, std::size_t> indices_;
  std::map<std::pair<std::size_t, std::size_t>, Measures> sums_;
};

// Meta: a report leaves out what was deleted since, unless it is filtered by status.
std::vector<const Object*> ads_of(const World& world, const InsightsQuery& query, Instant as_of) {
  const auto& account = world.accounts()[static_cast<std::size_t>(query.account)];
  const auto* scope = query.scope == 0 ? nullptr : world.object(query.scope);
  const bool by_status = filters_status(query.filters);
  std::vector<const Object*> ads;
  for (const auto& ad : account.of(Kind::ad)) {
    if (scope != nullptr && &world.above(ad, scope->kind) != scope) continue;
    if (!by_status && world.effective_status(ad, as_of) == "DELETED") continue;
    if (matches(world, ad, query.filters, as_of)) ads.push_back(&ad);
  }
  return ads;
}

void keep_by_impressions(const std::vector<Filter>& filters, std::vector<InsightRow>& rows) {
  for (const auto& filter : filters) {
    if (filter.field != "impressions" || filter.values.empty()) continue;
    const auto bound = to_int(filter.values.front()).value_or(0);
    std::erase_if(rows, [&](const InsightRow& row) {
      return filter.op == "LESS_THAN" ? row.measures[impressions] >= bound : row.measures[impressions] <= bound;
    });
  }
}

}  // namespace

Measures& Measures::operator+=(const Measures& other) {
  delivered = delivered || other.delivered;
  for (std::size_t i = 0; i < kCounts; ++i) counts[i] += other.counts[i];
  return *this;
}

bool Measures::all_zero() const {
  return std::ranges::all_of(counts, [](std::int64_t n) { return n == 0; });
}

Measures ad_day(const World& world, const Object& ad, Day day, Instant as_of) {
  const auto& zone = world.account_of(ad).zone;
  const auto begin = start_of(day, zone);
  Measures nothing;
  if (world.exact()) return as_of < begin ? nothing : settled_ad_day(world, ad, day);
  if (as_of < begin || !runs_on(world, ad, day, zone)) return nothing;
  auto whole = whole_day(world, ad, day);
  if (whole.hash % 100 < 14) return nothing;
  auto m = whole.base;
  const auto passed = as_of - begin;
  const auto days_passed = passed / days(1);
  // Meta: today's numbers are refreshed every 15 minutes.
  const auto end = start_of(day + 1, zone);
  if (as_of < end) scale(m, passed / minutes(15), (end - begin) / minutes(15));
  const auto dice = mix(whole.hash + 7) % 400;
  if (dice < 10 && days_passed >= 3) return nothing;  // invalid traffic, taken back
  if (dice >= 20 && dice < 32 && days_passed >= 2) m.counts[clicks] = m.counts[clicks] * 9 / 10;
  add_conversions(whole, days_passed, m);
  if (dice == 50 || dice == 51) m.counts.fill(0);  // Meta sends rows of zeros now and then
  return m;
}

Measures settled_ad_day(const World& world, const Object& ad, Day day) {
  const Day monday(2024, 1, 1);
  const auto whole = whole_day(world, ad, monday + static_cast<int>(cctz::get_weekday(day)));
  auto m = whole.base;
  add_conversions(whole, 29, m);
  return m;
}

std::vector<InsightRow> make_rows(const World& world, const InsightsQuery& query, Instant as_of) {
  const auto ads = ads_of(world, query, as_of);
  std::vector<InsightRow> rows;
  Gathering gathering(world, query);
  for (const auto& [since, until] : query.periods) {
    for (const auto* ad : ads) {
      for (auto day = since; day <= until; ++day) {
        const auto m = ad_day(world, *ad, day, as_of);
        if (m.delivered) gathering.add(*ad, day, m);
      }
    }
    gathering.finish(since, until, rows);
  }
  keep_by_impressions(query.filters, rows);
  return rows;
}

bool exceeds(const World& world, const InsightsQuery& query, std::string_view limit, Instant as_of) {
  if (limit.empty()) return true;
  const auto most = to_int(limit.substr(limit.find(':') + 1)).value_or(0);
  if (limit.starts_with("rows:")) return static_cast<std::int64_t>(make_rows(world, query, as_of).size()) > most;
  return query.until - query.since + 1 > most;
}

}  // namespace sluice::sandbox
