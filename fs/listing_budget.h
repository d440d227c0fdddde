// ListingBudget: what the listings of open directories may take of the server's memory at once. The
// server's memory is nobody's limit but its own group's: a tenant could fill the host's with names
// by holding large directories open. Thread-safe; outlives its shares.
#pragma once

#include <atomic>
#include <cstddef>
#include <optional>
#include <utility>

namespace bailey::fs {

class ListingBudget {
 public:
  static constexpr size_t kMost = 128UL << 20;  // bytes: about three million names

  // Gives back what it stands for.
  class Share {
   public:
    Share() = default;
    Share(Share&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)), bytes_(other.bytes_) {}
    Share& operator=(Share other) noexcept {
      std::swap(budget_, other.budget_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Share() {
      if (budget_ != nullptr) budget_->taken_ -= bytes_;
    }

   private:
    friend class ListingBudget;
    Share(ListingBudget& budget, size_t bytes) : budget_(&budget), bytes_(bytes) {}
    ListingBudget* budget_ = nullptr;
    size_t bytes_ = 0;
  };

  // Nothing when there is no room. One listing alone has room, however long it is.
  std::optional<Share> Take(size_t bytes) {
    size_t taken = taken_;
    do {
      if (taken != 0 && (taken > kMost || bytes > kMost - taken)) return std::nullopt;
    } while (!taken_.compare_exchange_weak(taken, taken + bytes));
    return Share(*this, bytes);
  }

 private:
  std::atomic<size_t> taken_ = 0;
};

}  // namespace bailey::fs
