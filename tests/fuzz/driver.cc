// Runs a fuzz target without libFuzzer, which only clang has: its seeds, then inputs mutated from
// them by a generator with a fixed seed. It knows nothing of coverage; it keeps the targets built
// and what they once found closed in every build, the sanitized ones above all.
//
//   fuzz_X [-runs=N] [-seed=N] [FILE|DIRECTORY]…
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "tests/fuzz/fuzz_input.h"

extern "C" __attribute__((weak)) int LLVMFuzzerInitialize(int* argc, char*** argv);
// NOLINTBEGIN(bugprone-reserved-identifier): the sanitizers' names. Null where none is linked.
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());
// GCC's UBSan does not call what was given to ASan: it is to abort.
extern "C" const char* __ubsan_default_options() { return "abort_on_error=1"; }
// NOLINTEND(bugprone-reserved-identifier)

namespace {

using Bytes = std::vector<uint8_t>;

constexpr size_t kLongest = 4096;
const Bytes* g_running = nullptr;
std::string g_crash_path;

// The input that did it, as libFuzzer leaves it. Also on a signal: system calls alone.
void SaveRunning() {
  if (g_running == nullptr) return;
  const int file = ::open(g_crash_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  (void)!::write(file, g_running->data(), g_running->size());
  ::close(file);
  constexpr std::string_view kSaid = "the input is in ";
  (void)!::write(STDERR_FILENO, kSaid.data(), kSaid.size());
  (void)!::write(STDERR_FILENO, g_crash_path.data(), g_crash_path.size());
  (void)!::write(STDERR_FILENO, "\n", 1);
}

// A sanitizer reports what it has found, a bad access too, and calls us before it ends the process.
void SaveAtTheEnd() {
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(SaveRunning);
  struct sigaction action {};
  action.sa_handler = [](int number) {
    SaveRunning();
    (void)::signal(number, SIG_DFL);
    (void)::raise(number);
  };
  action.sa_flags = SA_ONSTACK | SA_NODEFER;
  (void)::sigaction(SIGABRT, &action, nullptr);
  if (__sanitizer_set_death_callback != nullptr) return;
  static std::array<char, 64UL << 10> stack;  // the other one may be what has run out
  const stack_t other{stack.data(), 0, stack.size()};
  (void)::sigaltstack(&other, nullptr);
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL})
    (void)::sigaction(number, &action, nullptr);
}

class Mutator {
 public:
  Mutator(const std::vector<Bytes>& seeds, uint64_t seed) : seeds_(seeds), random_(seed) {}

  Bytes Next() {
    Bytes bytes = Seed();
    for (size_t changes = 1 + Below(6); changes > 0; --changes) Change(&bytes);
    if (bytes.size() > kLongest) bytes.resize(kLongest);
    return bytes;
  }

 private:
  size_t Below(size_t limit) { return limit == 0 ? 0 : random_() % limit; }
  const Bytes& Seed() { return seeds_[Below(seeds_.size())]; }
  uint8_t Byte() {
    static constexpr uint8_t kTelling[] = {0,   1,    0x7f, 0x80, 0xff, '\n',
                                           '"', '\\', '/',  '.',  '-',  '{'};
    return Below(2) == 0 ? kTelling[Below(sizeof kTelling)] : static_cast<uint8_t>(random_());
  }
  static auto At(const Bytes& bytes, size_t index) {
    return bytes.begin() + static_cast<ptrdiff_t>(index);
  }

  void Change(Bytes* bytes) {
    const size_t at = Below(bytes->size() + 1);
    const size_t length = Below(std::min<size_t>(bytes->size() - at, 32) + 1);
    switch (Below(6)) {
      case 0:
        if (at < bytes->size()) (*bytes)[at] ^= static_cast<uint8_t>(1U << Below(8));
        break;
      case 1:
        if (at < bytes->size()) (*bytes)[at] = Byte();
        break;
      case 2:
        bytes->insert(At(*bytes, at), 1 + Below(4), Byte());
        break;
      case 3:
        bytes->erase(At(*bytes, at), At(*bytes, at + length));
        break;
      case 4: {
        const Bytes piece(At(*bytes, at), At(*bytes, at + length));
        bytes->insert(At(*bytes, Below(bytes->size() + 1)), piece.begin(), piece.end());
        break;
      }
      default: {
        const Bytes& other = Seed();
        bytes->resize(at);
        bytes->insert(bytes->end(), At(other, Below(other.size() + 1)), other.end());
      }
    }
  }

  const std::vector<Bytes>& seeds_;
  std::mt19937_64 random_;
};

void Load(const std::filesystem::path& path, std::vector<Bytes>* seeds) {
  if (std::filesystem::is_directory(path)) {
    std::vector<std::filesystem::path> inside;
    for (const auto& entry : std::filesystem::directory_iterator(path)) inside.push_back(entry);
    std::sort(inside.begin(), inside.end());
    for (const auto& one : inside) Load(one, seeds);
    return;
  }
  std::ifstream file(path, std::ios::binary);
  seeds->emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

void Run(const Bytes& bytes) {
  g_running = &bytes;
  (void)LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  g_running = nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t runs = 0, seed = 1;
  std::vector<Bytes> seeds;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word.starts_with("-runs="))
      runs = std::stoull(std::string(word.substr(6)));
    else if (word.starts_with("-seed="))
      seed = std::stoull(std::string(word.substr(6)));
    else if (!word.starts_with("-"))
      Load(word, &seeds);
  }
  // A target may go elsewhere.
  g_crash_path = std::filesystem::current_path() / "crash-input";
  if (seeds.empty()) seeds.emplace_back();
  if (LLVMFuzzerInitialize != nullptr) LLVMFuzzerInitialize(&argc, &argv);
  SaveAtTheEnd();
  for (const Bytes& one : seeds) Run(one);
  Mutator mutator(seeds, seed);
  for (uint64_t i = 0; i < runs; ++i) Run(mutator.Next());
  std::printf("%zu seeds, %llu mutated inputs\n", seeds.size(),
              static_cast<unsigned long long>(runs));
  return 0;
}
