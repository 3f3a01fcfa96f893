#include "core/batch.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace sluice {

std::size_t Batch::bytes() const {
  std::size_t size = cells_.size() * sizeof(Cell) + page_.size() + arena_.size();
  for (const auto& reject : rejects) size += reject.bytes();
  return size;
}

void Batch::reserve(std::size_t rows, std::size_t text_bytes) {
  cells_.reserve(rows * width_);
  arena_.reserve(text_bytes);
}

std::span<Cell> Batch::add_row() {
  cells_.resize(cells_.size() + width_);
  return {cells_.data() + cells_.size() - width_, width_};
}

void Batch::drop_last_row() {
  cells_.resize(cells_.size() - width_);
  if (raw_.size() > rows()) raw_.resize(rows());
}

std::string_view Batch::adopt(std::string page) {
  if (!page_.empty() || !arena_.empty()) throw std::logic_error("a batch has texts before its page");
  page_ = std::move(page);
  return page_;
}

Cell Batch::add_text(std::string_view text) {
  Cell cell;
  cell.kind = Kind::text;
  cell.size = static_cast<std::uint32_t>(text.size());
  cell.offset = page_.size() + arena_.size();
  arena_.append(text);
  return cell;
}

char* Batch::grow_text(std::size_t size) {
  uncommitted_ = arena_.size();
  arena_.resize(uncommitted_ + size);
  return arena_.data() + uncommitted_;
}

Cell Batch::commit_text(std::size_t used) {
  arena_.resize(uncommitted_ + used);
  Cell cell;
  cell.kind = Kind::text;
  cell.size = static_cast<std::uint32_t>(used);
  cell.offset = page_.size() + uncommitted_;
  return cell;
}

void Batch::set_raw(std::string_view json) {
  raw_.resize(rows());
  raw_.back() = {page_.size() + arena_.size(), static_cast<std::uint32_t>(json.size())};
  arena_.append(json);
}

void Batch::set_raw(const Cell& json) {
  raw_.resize(rows());
  raw_.back() = {json.offset, json.size};
}

std::string_view Batch::raw(std::size_t row) const {
  if (row >= raw_.size()) return {};
  return {at(raw_[row].first), raw_[row].second};
}

void Batch::reject(std::size_t i, Reject why) {
  rejected_.resize(rows());
  if (rejected_[i]) return;
  rejected_[i] = true;
  rejects.push_back(std::move(why));
}

void Batch::discard(std::size_t i) {
  rejected_.resize(rows());
  rejected_[i] = true;
}

void Batch::compact() {
  if (rejected_.empty()) return;
  rejected_.resize(rows());
  raw_.resize(rows());
  std::size_t kept = 0;
  for (std::size_t i = 0; i < rows(); ++i) {
    if (rejected_[i]) continue;
    if (kept != i) {
      std::copy_n(cells_.begin() + static_cast<std::ptrdiff_t>(i * width_), width_,
                  cells_.begin() + static_cast<std::ptrdiff_t>(kept * width_));
      raw_[kept] = raw_[i];
    }
    ++kept;
  }
  cells_.resize(kept * width_);
  raw_.resize(kept);
  rejected_.clear();
}

std::string key_text(const Batch& batch, std::size_t row, std::span<const std::pair<std::size_t, Type>> key) {
  auto values = nlohmann::json::array();
  for (const auto& [place, type] : key) {
    const auto& cell = batch.row(row)[place];
    if (cell.is_null())
      values.push_back("");
    else if (cell.kind == Kind::text)
      values.push_back(std::string(batch.text(cell)));
    else if (cell.kind == Kind::float64)
      values.push_back(fmt::format("{}", cell.real));
    else if (type == Type::date)
      values.push_back(format_day(Day(1970, 1, 1) + cell.integer));
    else if (type == Type::timestamp)
      values.push_back(format_instant(Instant(Duration(cell.integer))));
    else
      values.push_back(std::to_string(cell.integer));
  }
  // Bad UTF-8 was repaired when the text was read; a byte that slipped through must not throw here.
  return values.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace sluice
