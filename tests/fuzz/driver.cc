// Runs a fuzz target without libFuzzer, which only clang has: its seeds, then inputs mutated from
// them by a generator with a fixed seed. It knows nothing of coverage; it keeps the targets built
// and what they once found closed in every build, the sanitized ones above all.
//
//   fuzz_X [-runs=N] [-seed=N] [FILE|DIRECTORY]…
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "tests/fuzz/fuzz_input.h"

extern "C" __attribute__((weak)) int LLVMFuzzerInitialize(int* argc, char*** argv);

namespace {

using Bytes = std::vector<uint8_t>;

constexpr size_t kLongest = 4096;
const Bytes* g_running = nullptr;
std::string g_crash_path;

// The input that did it, as libFuzzer leaves it.
void SaveRunning() {
  if (g_running == nullptr) return;
  std::ofstream(g_crash_path, std::ios::binary)
      .write(reinterpret_cast<const char*>(g_running->data()),
             static_cast<std::streamsize>(g_running->size()));
  std::fprintf(stderr, "the input is in %s\n", g_crash_path.c_str());
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
  (void)::signal(SIGABRT, [](int) {
    SaveRunning();
    ::_exit(1);
  });
  for (const Bytes& one : seeds) Run(one);
  Mutator mutator(seeds, seed);
  for (uint64_t i = 0; i < runs; ++i) Run(mutator.Next());
  std::printf("%zu seeds, %llu mutated inputs\n", seeds.size(),
              static_cast<unsigned long long>(runs));
  return 0;
}
