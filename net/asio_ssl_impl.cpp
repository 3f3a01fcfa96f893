// The TLS half of Asio, compiled once for everybody.
#include <boost/asio/ssl/impl/src.hpp>
