#pragma once
#include <memory>
#include <string>
#include <string_view>

namespace sluice {

// Decodes gzip (several members too) and zlib, a bounded piece at a time, so that a small body cannot become a large
// memory.
class Gunzip {
 public:
  Gunzip();
  ~Gunzip();
  Gunzip(const Gunzip&) = delete;
  Gunzip& operator=(const Gunzip&) = delete;

  enum class State { hungry, full, corrupt };
  // Appends at most `room` bytes to `out` and takes what it read off the front of `in`. `full`: there may be more to
  // come without further input.
  State decode(std::string_view& in, std::string& out, std::size_t room);
  // Stands at the end of a member: a body may end here.
  bool complete() const { return complete_; }

 private:
  struct Stream;
  std::unique_ptr<Stream> stream_;
  bool complete_ = false;
};

}  // namespace sluice
