#pragma once
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "sandbox/clevertap_data.hpp"
#include "sandbox/faults.hpp"
#include "sandbox/prepared_events.hpp"

namespace sluice::sandbox {

// CleverTap's API of one project: from a call to the text of a JSON answer. Any account id is taken, and the sandbox's
// token is its passcode.
class CleverTapApi {
 public:
  CleverTapApi(const Options& options, Faults& faults);

  struct Call {
    std::string method, path, query, body;
    std::string account, passcode;
    std::string subject;  // what faults are matched with
  };
  struct Answer {
    int status = 200;
    std::string body;
  };
  // Whether a path is one of CleverTap's.
  static bool owns(std::string_view path);
  Answer answer(const Call& call, Instant now);

  std::int64_t rows_served() const { return rows_served_; }
  void forget_rows_served() { rows_served_ = 0; }

 private:
  // An export that was begun. Its rows are as of then.
  struct Export {
    std::string path;
    std::vector<AppWorld::Event> events;
    std::vector<int> people;
    AppWorld::Include include;
    std::size_t page = 5000;
    Instant begun, used;
    std::size_t size() const { return path.find("profiles") == std::string::npos ? events.size() : people.size(); }
  };

  Answer route(const Call& call, Instant now);
  Answer begin(const Call& call, Instant now);
  Answer page(const Call& call, const std::string& cursor, Instant now);
  void append_row(const Export& made, std::size_t i, std::string& text);
  void spoil_page(const std::string& subject, std::string& text);
  Answer count(const Call& call, Instant now);
  Answer poll_count(const Call& call, Instant now);
  Answer campaigns(const Call& call, Instant now);
  Answer campaign_report(const Call& call, Instant now);
  static Answer schema();
  static std::string cursor_of(std::int64_t id, std::size_t from);
  static std::optional<std::pair<std::int64_t, std::size_t>> place_of(const std::string& cursor);

  std::string passcode_;
  Faults& faults_;
  AppWorld world_;
  PreparedEvents prepared_{world_};
  std::map<std::int64_t, Export> exports_;
  struct Counting {
    std::int64_t value = 0;
    int polls = 0;  // that still say "partial"
  };
  std::map<std::int64_t, Counting> counting_;
  std::int64_t next_id_ = 0;
  std::int64_t rows_served_ = 0;
};

}  // namespace sluice::sandbox
