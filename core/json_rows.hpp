#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

// Takes an answer apart as it arrives: an array of elements, or one element, each an object whose member `rows` is an
// array: [{"results":[ROW,ROW],"fieldMask":"…"},{"results":[…]}]. Holds one part at a time, however long the answer is.
// It only counts brackets and strings; whether the parts are JSON, their parsers say.
class JsonRowStream {
 public:
  struct Part {
    enum class Kind {
      rows,    // a JSON array of some of the rows
      element  // the element that those rows came in, with none of them in it: {"results":[],"fieldMask":"…"}
    } kind;
    std::string text;
  };

  // A part of rows is given as soon as it has `part_bytes`.
  explicit JsonRowStream(std::string rows, std::size_t part_bytes = 256u << 10);

  // The next bytes of the answer. They must live until `next` gives nothing.
  void feed(std::string_view bytes) { left_ = bytes; }
  // The next part that is whole; nothing: more bytes are needed. Throws Error(retry) where the answer is no such JSON,
  // and Error(give_up) where one row is longer than 64 MiB.
  std::optional<Part> next();
  // The answer has ended. Throws Error(retry) where it should have gone on.
  void finish() const;

 private:
  enum class At { start, elements, element, rows, end };

  std::optional<Part> outside(char c);
  std::optional<Part> in_element(char c);
  std::optional<Part> in_rows(char c);
  std::size_t end_of_string(std::size_t at);
  std::size_t plain_run();
  std::size_t run_of_rows();
  void take(std::size_t count);
  bool at_rows() const;
  void begin_part();
  std::optional<Part> rows_part();
  std::string& buffer() { return at_ == At::rows ? rows_text_ : element_text_; }

  std::string name_;  // of the rows' member, as its quoted key
  std::size_t part_bytes_;
  std::string_view left_;
  At at_ = At::start;
  bool single_ = false;  // one element stands for the array
  bool in_string_ = false;
  bool escaped_ = false;
  int depth_ = 0;  // of brackets within the element, or within the row
  std::string rows_text_, element_text_;
};

}  // namespace sluice
