#include "net/gzip.hpp"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <new>

namespace sluice {

struct Gunzip::Stream {
  z_stream z{};
};

Gunzip::Gunzip() : stream_(std::make_unique<Stream>()) {
  constexpr int any_header = 32 + MAX_WBITS;
  if (inflateInit2(&stream_->z, any_header) != Z_OK) throw std::bad_alloc();
}

Gunzip::~Gunzip() {
  inflateEnd(&stream_->z);
}

Gunzip::State Gunzip::decode(std::string_view& in, std::string& out, std::size_t room) {
  auto& z = stream_->z;
  const auto before = out.size();
  out.resize(before + room);
  const auto given = std::min<std::size_t>(in.size(), std::numeric_limits<uInt>::max());
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));  // zlib does not write through it
  z.avail_in = static_cast<uInt>(given);
  z.next_out = reinterpret_cast<Bytef*>(out.data() + before);
  z.avail_out = static_cast<uInt>(room);
  int result = Z_OK;
  while (z.avail_out > 0) {
    if (complete_ && z.avail_in > 0) {
      inflateReset(&z);
      complete_ = false;
    }
    result = inflate(&z, Z_NO_FLUSH);
    if (result == Z_STREAM_END) complete_ = true;
    if (result != Z_OK && !(complete_ && z.avail_in > 0)) break;
  }
  out.resize(before + room - z.avail_out);
  in.remove_prefix(given - z.avail_in);
  if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) return State::corrupt;
  return z.avail_out == 0 ? State::full : State::hungry;
}

}  // namespace sluice
