#pragma once
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/batch.hpp"
#include "core/schema.hpp"
#include "core/sink.hpp"
#include "transform/guarding.hpp"

namespace sluice {

// One step of a stream's `transform:`, as written; steps apply in their order.
struct TransformStep {
  enum class Action { select, rename, cast, drop, mask } action = Action::select;
  std::vector<std::string> columns;                        // select; drop, which may say "column.path.inside"
  std::vector<std::pair<std::string, std::string>> pairs;  // rename: from → to; cast: column → type; mask: what → how
  std::shared_ptr<const MaskKey> key;                      // mask: of hmac_sha256; may be none
  Where where;
};

// What happens to a stream's rows between source and sink. Columns are chosen and named by where the table's columns
// point (nothing is moved); only casts and masks touch cells. Most of what is masked or dropped is hidden earlier, by
// the guard that this puts into the stream.
class Transform {
 public:
  // Works out the columns, the key and the window columns that the steps leave, into `table` (its name, mode, indexes
  // and so on are set by the caller). Faults: unknown columns, two columns of one name, a cast that cannot be, a key or
  // window column that is dropped, what Guarding refuses.
  static Transform make(StreamSpec& stream, const std::vector<TransformStep>& steps, Table& table, Faults& faults);

  // A step says that no column of this name, declared or not, must reach the table.
  bool drops(const std::string& name) const { return dropped_.contains(name); }

  // The column in that place turned out to be of another type than it stood for. True when a cast makes it another one
  // all the same. Not for one that `masks`.
  bool learn(std::size_t column, DataType type);
  // Whether a mask makes a text of the column, whatever the source gives.
  bool masks(std::size_t column) const { return texts_.contains(column); }

  // Reads the key of its masks, where it needs one. Throws as MaskKey::load.
  void load_key() const;

  // In place. Rows whose value does not fit its cast are moved to the rejects; a reject whose key is not known in the
  // table's types has none.
  void apply(Batch& batch) const;

 private:
  struct Cast {
    std::size_t column;  // in the batch
    std::string name;    // as the user calls it
    DataType from, to;
  };
  void hide(const Guarding& guarding, StreamSpec& stream, Table& table, const Where& where, Faults& faults);
  void mask_cells(Batch& batch) const;
  void put_key_first();

  // Those of the key's columns first, so that a row that another one rejects is named in the table's types.
  std::vector<Cast> casts_;
  std::size_t key_casts_ = 0;
  std::vector<Cast> idle_;  // to what the column is already, as far as is known
  std::vector<Guarding::OfCells> masked_;
  std::shared_ptr<const MaskKey> key_of_masks_;
  std::set<std::string> dropped_;
  std::set<std::size_t> texts_;                    // made of masked values
  std::vector<std::pair<std::size_t, Type>> key_;  // places in the batch and the table's types
};

}  // namespace sluice
