#pragma once
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <map>
#include <string>
#include <vector>

#include "core/connector.hpp"

namespace sluice::test {

// Keeps what a connector gives.
class KeptOutput final : public Output {
 public:
  explicit KeptOutput(const StreamSpec& stream, Priority priority = Priority::scheduled)
      : stream_(stream), priority_(priority) {}
  task<void> emit(Batch batch) override {
    REQUIRE(batch.width() == stream_.columns.size());
    for (std::size_t row = 0; row < batch.rows(); ++row) rows.push_back(row_of(batch, row));
    rejects.insert(rejects.end(), batch.rejects.begin(), batch.rejects.end());
    co_return;
  }
  void without_columns(const std::vector<std::string>& names, const std::string& why) override {
    missing.insert(missing.end(), names.begin(), names.end());
    reason = why;
  }
  void incident(const std::string& why) override { incidents.push_back(why); }
  Priority priority() const override { return priority_; }
  task<void> away(task<void> waiting) override {
    ++away_;
    co_await std::move(waiting);
    --away_;
  }
  bool is_away() const { return away_ > 0; }

  // The values of one column, row by row.
  std::vector<std::string> column(const std::string& name) const {
    std::vector<std::string> values;
    for (const auto& row : rows) values.push_back(row.at(name));
    return values;
  }

  std::vector<std::map<std::string, std::string>> rows;  // column → value as text; "-" is NULL
  std::vector<Reject> rejects;
  std::vector<std::string> missing, incidents;
  std::string reason;

 private:
  std::map<std::string, std::string> row_of(const Batch& batch, std::size_t row) const {
    std::map<std::string, std::string> values;
    for (std::size_t i = 0; i < stream_.columns.size(); ++i) {
      const auto& cell = batch.row(row)[i];
      const auto& column = stream_.columns[i];
      std::string text = "-";
      if (cell.kind == Kind::text) text = batch.text(cell);
      if (cell.kind == Kind::int64) text = std::to_string(cell.integer);
      if (cell.kind == Kind::float64) text = fmt::format("{}", cell.real);
      if (cell.kind == Kind::int64 && column.type.type == Type::date) text = format_day(Day(1970, 1, 1) + cell.integer);
      if (cell.kind == Kind::int64 && column.type.type == Type::timestamp)
        text = format_instant(Instant(Duration(cell.integer)));
      values[column.name] = text;
    }
    return values;
  }
  StreamSpec stream_;
  Priority priority_;
  int away_ = 0;
};

}  // namespace sluice::test
