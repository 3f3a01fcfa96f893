#pragma once
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/mask.hpp"
#include "core/row_guard.hpp"
#include "core/sink.hpp"

namespace sluice {

// What the steps `mask` and `drop` of one stream hide, and what that makes of its columns.
class Guarding {
 public:
  // Something in a column that is masked or, with no mask, left out.
  struct Hidden {
    std::size_t column;                // of the stream
    std::string name;                  // as the user calls the column
    std::string inside;                // a path in its JSON; empty: all of it
    std::shared_ptr<const Mask> mask;  // none: dropped
    Where where;
  };

  void hide(Hidden what) { hidden_.push_back(std::move(what)); }
  // No column of this name, declared or not, may be stored.
  void hide_unknown(const std::string& name) { unknown_.insert(name); }

  // Columns of the stream that nobody else fills than the connector, out of no member of the row: the transform masks
  // their cells.
  struct OfCells {
    std::size_t column;
    std::shared_ptr<const Mask> mask;        // of the whole cell
    std::shared_ptr<const RowGuard> inside;  // of its JSON
    DataType was;                            // what the connector gives
  };

  struct Made {
    std::vector<OfCells> cells;
    std::set<std::size_t> masked;  // columns of the stream that are texts now, made of masked values
  };

  // Puts the guard into the stream, makes texts of what is masked, and says so in the comments of `table`, which has
  // the columns that the steps have left. Faults: a mask on what tells slices apart, one that makes keys alike, one
  // value masked in two ways, a column that reads what is dropped.
  Made apply(StreamSpec& stream, Table& table, Faults& faults) const;

 private:
  std::vector<Hidden> hidden_;
  std::set<std::string> unknown_;
};

}  // namespace sluice
