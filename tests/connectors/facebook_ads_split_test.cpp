#include <set>

#include "connectors/facebook_ads_merge.hpp"
#include "core/row_mapper.hpp"
#include "sandbox/sandbox.hpp"
#include "tests/connectors/facebook_ads_fixture.hpp"
#include "tests/support/direct_client.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace sluice::test;

namespace {

std::vector<std::string> list(const std::string& comma) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= comma.size();) {
    const auto end = std::min(comma.find(',', at), comma.size());
    if (end > at) parts.push_back(comma.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

// An account with two campaigns of two ad sets of two ads each: ids c1, c1s1, c1s1a1, … as numbers 1, 11, 111.
// Campaign 2 and what is in it is deleted: listed only for who asks for that. The first of a list comes twice.
// A report is refused as too large when `too_large` says so.
class SmallAccount {
 public:
  std::function<bool(const std::vector<std::string>& ads, const json& range, const std::vector<std::string>& fields)>
      too_large;
  std::function<void(json& row)> touch = [](json&) {};
  bool refuse_at_once = true;  // when it is submitted; otherwise the report fails
  std::string failure = R"("error_code":-3,"error_subcode":1504045,"error_message":"Report Too Large")";
  std::set<std::string> unlisted;  // what the edges leave out
  std::set<std::string> lost;      // ads whose rows are left out of reports by ad
  bool down = false;               // no report is ever made
  int submissions = 0;
  std::vector<std::string> asked;  // fields of each report of rows

  HttpResponse answer(const HttpRequest& request) {
    const auto path = path_of(request);
    if (request.method == "POST") return submit(request);
    if (path.ends_with("/campaigns")) return ids(request, 1);
    if (path.ends_with("/adsets")) return ids(request, 2);
    if (path.ends_with("/ads")) return ids(request, 3);
    const auto number = static_cast<std::size_t>(std::stoi(path.substr(7)));
    if (path.ends_with("/insights")) return HttpResponse(200, {}, rows(reports_.at(number)));
    if (failed_.count(number) > 0)
      return HttpResponse(200, {}, R"({"async_status":"Job Failed","async_percent_completion":12,)" + failure + "}");
    return HttpResponse(200, {}, completed);
  }

 private:
  static std::vector<std::string> all(std::size_t digits) {
    std::vector<std::string> names{""};
    for (std::size_t i = 0; i < digits; ++i) {
      std::vector<std::string> longer;
      for (const auto& name : names)
        for (const auto* digit : {"1", "2"}) longer.push_back(name + digit);
      names = longer;
    }
    return names;
  }
  static std::vector<std::string> chosen(const HttpRequest& request, std::size_t digits) {
    auto names = all(digits);
    for (const auto& filter : json::parse(parameter(request, "filtering").value())) {
      if (!filter["field"].get<std::string>().ends_with(".id")) continue;
      std::erase_if(names, [&](const std::string& name) {
        for (const auto& id : filter["value"])
          if (name.starts_with(id.get<std::string>())) return false;
        return true;
      });
    }
    return names;
  }
  HttpResponse ids(const HttpRequest& request, std::size_t digits) const {
    std::vector<std::string> objects;
    const bool deleted_too = parameter(request, "filtering")->find("\"DELETED\"") != std::string::npos;
    for (const auto& id : chosen(request, digits))
      if (!unlisted.contains(id) && (deleted_too || !id.starts_with("2"))) objects.push_back(json({{"id", id}}).dump());
    if (!objects.empty()) objects.push_back(objects.front());  // pages shift while they are read
    return HttpResponse(200, {}, rows(objects));
  }
  HttpResponse submit(const HttpRequest& request) {
    const auto level = parameter(request, "level").value();
    const auto ads = chosen(request, 3);
    const auto range = json::parse(parameter(request, "time_range").value());
    const auto fields = list(parameter(request, "fields").value());
    const auto number = 1000 + reports_.size();
    ++submissions;
    if (down) {
      failed_.insert(number);
      reports_[number];
      return HttpResponse(200, {}, R"({"report_run_id":")" + std::to_string(number) + "\"}");
    }
    if (fields.front() != "account_id") return totals(request, level);
    asked.push_back(parameter(request, "fields").value());
    const bool refused = too_large(ads, range, fields);
    if (refused && refuse_at_once) return HttpResponse(400, {}, fault(100, 1487534, "Too many rows"));
    if (refused) failed_.insert(number);
    auto& report = reports_[number];
    for (auto day = *parse_day(range["since"].get<std::string>()); day <= *parse_day(range["until"].get<std::string>());
         ++day)
      for (const auto& ad : ads) {
        if (lost.contains(ad)) continue;
        json row = {{"account_id", "1"}, {"date_start", format_day(day)}, {"date_stop", format_day(day)}};
        for (const auto& field : fields) {
          if (field == "ad_id") row[field] = ad;
          if (field == "adset_id") row[field] = ad.substr(0, 2);
          if (field == "campaign_id") row[field] = ad.substr(0, 1);
          if (field == "impressions" || field == "clicks" || field == "spend") row[field] = ad + "0";
          if (field == "actions") row[field] = json::array({{{"action_type", "x"}, {"value", ad}}});
        }
        touch(row);
        report.push_back(row.dump());
      }
    return HttpResponse(200, {}, R"({"report_run_id":")" + std::to_string(number) + "\"}");
  }
  // What is below an object, as a report tells it.
  HttpResponse totals(const HttpRequest& request, const std::string& level) {
    CHECK(parameter(request, "fields") == level + "_id,impressions");
    const std::size_t digits = level == "campaign" ? 1 : level == "adset" ? 2 : 3;
    std::map<std::string, int> impressions;
    for (const auto& ad : chosen(request, 3)) impressions[ad.substr(0, digits)] += std::stoi(ad + "0");
    const auto number = 1000 + reports_.size();
    for (const auto& [id, sum] : impressions)
      reports_[number].push_back(json({{level + "_id", id}, {"impressions", std::to_string(sum)}}).dump());
    return HttpResponse(200, {}, R"({"report_run_id":")" + std::to_string(number) + "\"}");
  }
  std::map<std::size_t, std::vector<std::string>> reports_;
  std::set<std::size_t> failed_;
};

struct Splitting {
  Facebook fb;
  SmallAccount account;
  StreamSpec spec = fb.stream("insights", "fields: [impressions, clicks, spend, actions]");
  Splitting() {
    fb.http.answer_with([this](const HttpRequest& request) { return account.answer(request); });
  }
  static std::set<std::string> every_ad() { return {"111", "112", "121", "122", "211", "212", "221", "222"}; }
};

}  // namespace

TEST_CASE("what is too large for one report is cut by days first") {
  Splitting s;
  s.account.too_large = [](auto&, const json& range, auto&) { return range["since"] != range["until"]; };
  const auto out = s.fb.read(s.spec, s.fb.day("2026-02-25", 5));
  CHECK(out.rows.size() == 40);
  std::set<std::pair<std::string, std::string>> keys;
  for (const auto& row : out.rows) keys.emplace(row.at("date_start"), row.at("ad_id"));
  CHECK(keys.size() == 40);
  CHECK(keys.begin()->first == "2026-02-25");
  CHECK(keys.rbegin()->first == "2026-03-01");
}

TEST_CASE("a day that is too large is cut by campaigns, ad sets and ads, whether it is refused or fails") {
  for (const bool at_once : {true, false}) {
    for (const std::size_t most : {4u, 2u, 1u}) {
      INFO(at_once << " " << most);
      Splitting s;
      s.account.refuse_at_once = at_once;
      s.account.too_large = [most](const std::vector<std::string>& ads, auto&, auto&) { return ads.size() > most; };
      const auto out = s.fb.read(s.spec, s.fb.day("2026-03-01"));
      const auto ads = out.column("ad_id");
      CHECK(ads.size() == 8);
      CHECK(std::set<std::string>(ads.begin(), ads.end()) == Splitting::every_ad());
      CHECK(out.missing.empty());
    }
  }
}

TEST_CASE("a report that cannot be made is cut by fields, and its rows are put together again") {
  Splitting s;
  s.account.too_large = [](const std::vector<std::string>& ads, auto&, const std::vector<std::string>& fields) {
    return ads.size() > 1 || (ads[0] == "212" && fields.size() > 4);
  };
  const auto out = s.fb.read(s.spec, s.fb.day("2026-03-01"));
  CHECK(out.rows.size() == 8);
  CHECK(out.missing.empty());
  for (const auto& row : out.rows) {
    INFO(row.at("ad_id"));
    CHECK(row.at("impressions") == row.at("ad_id") + "0");
    CHECK(row.at("spend") == row.at("ad_id") + "0");
    CHECK(row.at("actions").find(row.at("ad_id")) != std::string::npos);
  }
  for (const auto& fields : s.account.asked) CHECK(fields.starts_with("account_id,ad_id,"));
}

TEST_CASE("a field that can never be had is left out and said, the rest is loaded") {
  Splitting s;
  s.account.too_large = [](const std::vector<std::string>& ads, auto&, const std::vector<std::string>& fields) {
    return ads.size() > 1 || (ads[0] == "212" && std::find(fields.begin(), fields.end(), "actions") != fields.end());
  };
  const auto out = s.fb.read(s.spec, s.fb.day("2026-03-01"));
  CHECK(out.rows.size() == 8);
  CHECK(out.missing == std::vector<std::string>{"actions"});
  CHECK_THAT(out.reason, Catch::Contains("2026-03-01") && Catch::Contains("Too many rows"));
  for (const auto& row : out.rows) {
    CHECK(row.at("spend") == row.at("ad_id") + "0");
    // Once it is known that the slice does without the field, nothing asks for it any more.
    CHECK((row.at("actions") == "-") == (row.at("ad_id") >= "212"));
  }
}

TEST_CASE("an ad whose report cannot be made is set aside, and the rest of its day is loaded") {
  for (const auto* fields : {"[impressions, clicks, spend, actions]", "[spend]"}) {
    INFO(fields);
    Splitting s;
    s.spec = s.fb.stream("insights", "fields: " + std::string(fields));
    s.account.too_large = [](const std::vector<std::string>& ads, auto&, auto&) {
      return std::find(ads.begin(), ads.end(), "121") != ads.end();
    };
    const auto out = s.fb.read(s.spec, s.fb.day("2026-03-01"));
    auto others = Splitting::every_ad();
    others.erase("121");
    const auto ads = out.column("ad_id");
    CHECK(std::set<std::string>(ads.begin(), ads.end()) == others);
    for (const auto& row : out.rows) CHECK(row.at("spend") == row.at("ad_id") + "0");
    CHECK(out.missing.empty());
    REQUIRE(out.rejects.size() == 1);
    CHECK(out.rejects[0].key == R"(["1","2026-03-01","121"])");
    CHECK(out.rejects[0].rule == unread_rule);
    CHECK_THAT(out.rejects[0].reason, Catch::Contains("not even field by field") && Catch::Contains("Too many rows"));
    CHECK_THAT(out.rejects[0].raw, Catch::Contains(R"("ad_id":"121")"));
  }
}

TEST_CASE("with breakdowns the rows of an ad that is set aside are not known, so none of its day may be deleted") {
  Splitting s;
  s.spec = s.fb.stream("insights", "{fields: [impressions, spend], breakdowns: [country]}");
  s.account.too_large = [](const std::vector<std::string>& ads, auto&, auto&) {
    return std::find(ads.begin(), ads.end(), "121") != ads.end();
  };
  const auto out = s.fb.read(s.spec, s.fb.day("2026-03-01"));
  CHECK(out.rows.size() == 7);
  REQUIRE(out.rejects.size() == 1);
  CHECK(out.rejects[0].key.empty());
}

TEST_CASE("while Meta makes no report at all, nothing is set aside and the slice fails for now") {
  Splitting s;
  s.account.down = true;
  s.account.failure = R"("error_code":-2,"error_subcode":2490547,"error_message":"Report Failed")";
  const auto error = s.fb.failure(s.spec, s.fb.day("2026-03-01"));
  CHECK(error.remedy() == Remedy::retry);
  CHECK_THAT(error.what(), Catch::Contains("not even field by field") && Catch::Contains("Report Failed"));
  CHECK(s.account.submissions < 30);  // it does not go through every ad to find out
}

TEST_CASE("an account's row that cannot be made fails its slice: for now, or for good where Meta says too large") {
  for (const auto& [failure, remedy] :
       std::vector<std::pair<std::string, Remedy>>{{R"("error_code":-2,"error_subcode":2490547)", Remedy::retry},
                                                   {R"("error_code":-3,"error_subcode":1504045)", Remedy::give_up}}) {
    Splitting s;
    s.account.down = true;
    s.account.failure = failure;
    CHECK(s.fb.failure(s.fb.stream("insights", "level: account"), s.fb.day("2026-03-01")).remedy() == remedy);
  }
}

TEST_CASE("objects that have rows but are not listed any more keep their rows when a day is split") {
  for (const auto* gone : {"2", "12", "221"}) {
    INFO(gone);
    Splitting s;
    s.account.unlisted = {gone};
    s.account.too_large = [](const std::vector<std::string>& ads, auto&, auto&) { return ads.size() > 1; };
    const auto out = s.fb.read(s.spec, s.fb.day("2026-03-01"));
    const auto ads = out.column("ad_id");
    CHECK(ads.size() == 8);
    CHECK(std::set<std::string>(ads.begin(), ads.end()) == Splitting::every_ad());
  }
}

TEST_CASE("a day that is too large and has nothing to be split into is read by fields") {
  Facebook fb;
  const auto spec = fb.stream("insights", "fields: [impressions, spend]");
  std::string fields;
  fb.http.answer_with([&](const HttpRequest& request) {
    const auto path = path_of(request);
    if (request.method != "POST")
      return HttpResponse(200, {},
                          path.ends_with("/77") ? completed
                          : path.ends_with("/insights") && fields == "account_id,ad_id,spend"
                              ? rows({row("2026-03-01", "5", R"("spend":"1.5")")})
                              : rows({}));
    fields = parameter(request, "fields").value();
    return fields == "account_id,ad_id,impressions,spend" ? HttpResponse(400, {}, fault(100, 1487534))
                                                          : HttpResponse(200, {}, submitted);
  });
  const auto out = fb.read(spec, fb.day("2026-03-01"));
  CHECK(out.column("ad_id") == std::vector<std::string>{"5"});
}

TEST_CASE("parts that hold fewer rows than their totals say are not loaded") {
  Splitting s;
  s.account.too_large = [](const std::vector<std::string>& ads, auto&, auto&) { return ads.size() > 4; };
  s.account.lost = {"212"};
  const auto error = s.fb.failure(s.spec, s.fb.day("2026-03-01"));
  CHECK(error.remedy() == Remedy::retry);
  CHECK_THAT(error.what(), Catch::Contains("11200 impressions") && Catch::Contains("13320"));
  s.account.lost.clear();
  CHECK(s.fb.read(s.spec, s.fb.day("2026-03-01")).rows.size() == 8);
}

TEST_CASE("more objects than one filter takes are asked for in as many parts as it needs") {
  Splitting s;
  s.spec = s.fb.stream("insights", "{level: campaign, fields: [impressions]}");
  std::vector<std::string> campaigns;
  for (int i = 0; i < 2500; ++i) campaigns.push_back(std::to_string(10000 + i));
  std::map<std::string, std::vector<std::string>> reports;
  std::vector<std::size_t> asked;
  s.fb.http.answer_with([&](const HttpRequest& request) {
    const auto path = path_of(request);
    if (path.ends_with("/campaigns")) return HttpResponse(200, {}, rows({}));
    if (request.method != "POST") {
      if (!path.ends_with("/insights")) return HttpResponse(200, {}, completed);
      std::vector<std::string> page;
      for (const auto& id : reports.at(path.substr(7, path.rfind('/') - 7)))
        page.push_back(
            json({{"account_id", "1"}, {"date_start", "2026-03-01"}, {"campaign_id", id}, {"impressions", "1"}})
                .dump());
      return HttpResponse(200, {}, rows(page));
    }
    auto ids = campaigns;
    const auto filters = json::parse(parameter(request, "filtering").value());
    if (filters.size() == 2) ids = filters[1]["value"].get<std::vector<std::string>>();
    const bool totals = parameter(request, "fields") == "campaign_id,impressions";
    if (!totals) asked.push_back(ids.size());
    if (!totals && ids.size() > 1000) return HttpResponse(400, {}, fault(100, 1487534));
    const auto number = std::to_string(1000 + reports.size());
    reports[number] = ids;
    return HttpResponse(200, {}, R"({"report_run_id":")" + number + "\"}");
  });
  const auto out = s.fb.read(s.spec, s.fb.day("2026-03-01"));
  const auto ids = out.column("campaign_id");
  CHECK(ids.size() == 2500);
  CHECK(std::set<std::string>(ids.begin(), ids.end()).size() == 2500);
  CHECK(asked == std::vector<std::size_t>{2500, 833, 833, 834});
}

TEST_CASE("a row that is bad in one half of its fields is no row") {
  Splitting s;
  s.account.too_large = [](const std::vector<std::string>& ads, auto&, const std::vector<std::string>& fields) {
    return ads.size() > 1 || (ads[0] == "212" && fields.size() > 4);
  };
  s.account.touch = [](json& row) {
    if (row["ad_id"] == "212" && row.contains("clicks")) row["clicks"] = "many";
  };
  const auto out = s.fb.read(s.spec, s.fb.day("2026-03-01"));
  CHECK(out.rows.size() == 7);
  REQUIRE(out.rejects.size() == 1);
  CHECK(out.rejects[0].key == R"(["1","2026-03-01","212"])");
}

TEST_CASE("rows of an account are not cut by campaigns, which would change them") {
  Splitting s;
  const auto spec = s.fb.stream("insights", "{level: account, fields: [impressions, spend]}");
  CHECK(spec.key == std::vector<std::string>{"account_id", "date_start"});
  s.fb.http.answer_with([&](const HttpRequest& request) -> HttpResponse {
    if (request.method != "POST") return s.account.answer(request);
    CHECK(parameter(request, "filtering")->find(".id\"") == std::string::npos);
    const auto fields = parameter(request, "fields").value();
    return fields == "account_id,impressions" || fields == "account_id,spend"
               ? HttpResponse(200, {}, submitted)
               : HttpResponse(400, {}, fault(100, 1487534));
  });
  s.fb.http.expect("POST /v26.0/act_1/insights")
      .with("fields", "account_id,impressions,spend")
      .reply(400, fault(100, 1487534));
  s.fb.http.expect("POST /v26.0/act_1/insights").with("fields", "account_id,impressions").reply(200, submitted);
  s.fb.http.expect("GET /v26.0/77").reply(200, completed);
  s.fb.http.expect("GET /v26.0/77/insights")
      .reply(200, rows({R"({"account_id":"1","date_start":"2026-03-01","impressions":"5"})"}));
  s.fb.http.expect("POST /v26.0/act_1/insights").with("fields", "account_id,spend").reply(200, submitted);
  s.fb.http.expect("GET /v26.0/77").reply(200, completed);
  s.fb.http.expect("GET /v26.0/77/insights")
      .reply(200, rows({R"({"account_id":"1","date_start":"2026-03-01","spend":"1.5"})"}));
  const auto out = s.fb.read(spec, s.fb.day("2026-03-01"));
  REQUIRE(out.rows.size() == 1);
  CHECK(out.rows[0].at("impressions") == "5");
  CHECK(out.rows[0].at("spend") == "1.5");
}

TEST_CASE("a window found too large after rows were handed on is read again in parts") {
  Splitting s;
  bool deep = true;
  s.account.too_large = [](auto&, auto&, auto&) { return false; };
  s.fb.http.answer_with([&](const HttpRequest& request) {
    if (deep && path_of(request) == "/v26.0/1000/insights")
      return parameter(request, "after")
                 ? HttpResponse(
                       400, {},
                       fault(100, 0, "The After Cursor specified exceeds the max limit supported by this endpoint"))
                 : HttpResponse(200, {}, rows({row("2026-03-01", "111")}, "deep"));
    return s.account.answer(request);
  });
  const auto error = s.fb.failure(s.spec, s.fb.day("2026-03-01"));
  CHECK(error.remedy() == Remedy::retry);
  const auto reports = s.account.asked.size();
  const auto out = s.fb.read(s.spec, s.fb.day("2026-03-01"));
  CHECK(out.rows.size() == 8);
  CHECK(s.account.asked.size() == reports + 2);  // one for each campaign
}

TEST_CASE("a row that was read in two halves keeps the source's own digits") {
  const std::vector<Column> columns{Column("id", Type::text, "", true), Column("a", Type::decimal),
                                    Column("b", Type::decimal)};
  RowMapper mapper(columns, {"id"});
  const auto first = mapper.map(R"({"data":[{"id":"1","a":12345678901234567890.10}]})", "data");
  const auto second = mapper.map(R"({"data":[{"id":"1","b":0.1000}]})", "data");
  const auto merged = facebook::merge_by_key(first.batch, second.batch, facebook::KeyPlaces{{0, Type::text}});
  REQUIRE(merged.rows() == 1);
  CHECK(merged.raw(0) == R"({"id":"1","a":12345678901234567890.10,"id":"1","b":0.1000})");
}

TEST_CASE("the simulated API gives the same rows whole and in parts") {
  const auto read = [](const std::vector<const char*>& faults) {
    Facebook fb;
    fb.token_sent.clear();
    sandbox::Options options;
    options.accounts = 1;
    options.ads = 30;
    options.token = Facebook::token;
    for (const auto* fault : faults) options.faults.push_back(sandbox::parse_fault(fault));
    sandbox::Sandbox simulated(options, fb.world.clock());
    const auto kind = facebook_ads();
    Faults none;
    const auto settings =
        parse_settings("access_token: {env: SLUICE_TEST_FACEBOOK_TOKEN}", "test.yaml", kind.source_options, none);
    DirectClient client(simulated, fb.world.clock());
    const auto connector =
        kind.make(settings, {"facebook", fb.world.executor(), fb.world.clock(), fb.seen, fb.rng, &client});
    const auto spec = fb.stream("insights");
    const auto partitions = fb.world.run(connector->partitions(spec));
    const auto today = day_of(fb.world.clock().now(), partitions.at(0).zone);
    KeptOutput out(spec);
    fb.world.run(connector->read(spec, Slice::days(partitions[0], today - 40, today - 38), out));
    CHECK(out.rejects.empty());
    return std::multiset<std::map<std::string, std::string>>(out.rows.begin(), out.rows.end());
  };
  const auto whole = read({});
  CHECK(whole.size() > 20);
  CHECK(read({"too_many_rows=rows:5"}) == whole);
  CHECK(read({"report_too_large=rows:3"}) == whole);
  CHECK(read({"summary_param%3"}) == whole);
}
