#include "sinks/postgres_params.hpp"

// What publishing, setting aside and trying again write into the quarantine.

namespace sluice {

std::vector<pg::Statement> PostgresStatements::quarantine(const std::vector<Reject>& rejects) const {
  auto statements = replace_quarantine(rejects, "");
  if (const auto ranges = ids_of_ranges(slice_)) {
    Params p;
    const auto pipeline = p.text(lane_.pipeline), stream = p.text(lane_.stream), run = p.text(run_),
               rule = p.text(structure_rule), begin = p.text(*ranges);
    auto remove = fmt::format(
        "DELETE FROM {0} WHERE \"pipeline\" = {1} AND \"stream\" = {2} AND \"run\" <> {3} AND \"rule\" = {4} AND "
        "left(\"slice\", length({5})) = {5} AND strpos(substr(\"slice\", length({5}) + 1), '/(') = 0",
        bookkeeping("_sluice_quarantine"), pipeline, stream, run, rule, begin);
    statements.emplace_back(std::move(remove), std::move(p.values));
  }
  return statements;
}

std::vector<pg::Statement> PostgresStatements::set_aside(const std::vector<Reject>& rejects) const {
  return replace_quarantine(rejects, structure_rule);
}

// `rule`: of the rows that make room; empty: all of the slice's.
std::vector<pg::Statement> PostgresStatements::replace_quarantine(const std::vector<Reject>& rejects,
                                                                  std::string_view rule) const {
  const auto table = bookkeeping("_sluice_quarantine");
  const auto ids = quarantine_ids(lane_, slice_, rejects);
  std::vector<pg::Statement> statements;
  Params old;
  const auto pipeline = old.text(lane_.pipeline), stream = old.text(lane_.stream), slice = old.text(slice_.id());
  auto remove = fmt::format(
      "DELETE FROM {} WHERE \"pipeline\" = {} AND \"stream\" = {} AND \"slice\" = {} AND \"id\" <> ALL ({})", table,
      pipeline, stream, slice, old.add(array_literal(ids), "text[]"));
  if (!rule.empty()) remove += " AND \"rule\" = " + old.text(rule);
  statements.emplace_back(std::move(remove), std::move(old.values));
  if (rejects.empty()) return statements;
  std::vector<std::string> keys, reasons, rules, raws;
  for (const auto& reject : rejects) {
    keys.push_back(clean_text(reject.key));
    reasons.push_back(clean_text(reject.reason));
    rules.push_back(clean_text(reject.rule));
    raws.push_back(clean_text(reject.raw));
  }
  Params p;
  std::vector<std::string> arrays;
  const std::vector<std::string>* const all[] = {&ids, &keys, &reasons, &rules, &raws};
  for (const auto* values : all) arrays.push_back(p.add(array_literal(*values), "text[]"));
  const auto into = p.text(lane_.pipeline), of = p.text(lane_.stream), from = p.text(slice_.id()), run = p.text(run_);
  auto insert = fmt::format(
      "INSERT INTO {} (\"id\", \"key\", \"reason\", \"rule\", \"raw\", \"pipeline\", \"stream\", \"slice\", \"run\", "
      "\"first_seen\", \"last_seen\") SELECT q.*, {}, {}, {}, {}, now(), now() FROM unnest({}) AS q ON CONFLICT "
      "(\"id\") DO UPDATE SET "
      "\"reason\" = excluded.\"reason\", \"rule\" = excluded.\"rule\", \"run\" = excluded.\"run\", \"last_seen\" = "
      "excluded.\"last_seen\"",
      table, into, of, from, run, fmt::join(arrays, ", "));
  statements.emplace_back(std::move(insert), std::move(p.values));
  return statements;
}

pg::Statement PostgresStatements::hold_quarantined(const std::vector<std::string>& ids) const {
  Params p;
  auto sql = fmt::format("SELECT \"id\" FROM {} WHERE \"id\" = ANY ({}) AND \"run\" = {} FOR UPDATE",
                         bookkeeping("_sluice_quarantine"), p.add(array_literal(ids), "text[]"), p.add(run_, "text"));
  return pg::Statement(std::move(sql), std::move(p.values));
}

pg::Statement PostgresStatements::remove_quarantined(const std::vector<std::string>& ids) const {
  Params p;
  auto sql = fmt::format("DELETE FROM {} WHERE \"id\" = ANY ({})", bookkeeping("_sluice_quarantine"),
                         p.add(array_literal(ids), "text[]"));
  return pg::Statement(std::move(sql), std::move(p.values));
}

pg::Statement PostgresStatements::refuse_again(
    const std::vector<std::pair<std::string, const Reject*>>& refused) const {
  std::vector<std::string> ids, reasons, rules;
  for (const auto& [id, reject] : refused) {
    ids.push_back(id);
    reasons.push_back(clean_text(reject->reason));
    rules.push_back(clean_text(reject->rule));
  }
  Params p;
  const auto first = p.add(array_literal(ids), "text[]"), second = p.add(array_literal(reasons), "text[]"),
             third = p.add(array_literal(rules), "text[]");
  auto sql = fmt::format(
      "UPDATE {} AS q SET \"reason\" = n.reason, \"rule\" = n.rule FROM unnest({}, {}, {}) AS n (id, reason, rule) "
      "WHERE q.\"id\" = n.id",
      bookkeeping("_sluice_quarantine"), first, second, third);
  return pg::Statement(std::move(sql), std::move(p.values));
}

pg::Statement PostgresStatements::none_quarantined(const std::vector<std::string>& ids) const {
  Params p;
  auto sql = fmt::format("SELECT 1 WHERE NOT EXISTS (SELECT FROM {} WHERE \"id\" = ANY ({}))",
                         bookkeeping("_sluice_quarantine"), p.add(array_literal(ids), "text[]"));
  return pg::Statement(std::move(sql), std::move(p.values));
}

}  // namespace sluice
