// Answer<T>: a value, or the errno that the kernel gets. The file server's hot path returns these
// instead of Result<T>: whoever asked sees a number only, and most refusals (ENOENT) are ordinary.
#pragma once

#include <boost/system/result.hpp>
#include <cerrno>

#include "base/result.h"

namespace bailey::fs {

struct Refusal {
  Refusal() = default;  // no aggregate: a number would do for either side of Answer<uint64_t>
  int number = EIO;
};
// boost::system::result asks for this when value() is called on a refusal: a bug of the caller.
[[noreturn]] void throw_exception_from_error(const Refusal& refusal,
                                             const boost::source_location& where);

template <class T>
using Answer = boost::system::result<T, Refusal>;
using Done = Answer<void>;

inline Refusal Refuse(int number = errno) {
  Refusal refusal;
  refusal.number = number;
  return refusal;
}
// What a system call returned: 0 or more is success, -1 is errno.
inline Done DoneOrErrno(long returned) { return returned < 0 ? Done(Refuse()) : Done(); }
// The errno of an answer, 0 for success.
template <class T>
int NumberOf(const Answer<T>& answer) {
  return answer ? 0 : answer.error().number;
}

}  // namespace bailey::fs
