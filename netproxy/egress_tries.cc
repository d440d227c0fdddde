#include "netproxy/egress_tries.h"

#include <bpf/bpf.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <string>

namespace bailey::netproxy {
namespace {

// Keys as bytes: what is in one family's trie now.
using KeySet = std::set<std::string>;

template <class Key>
std::string Bytes(const Key& key) {
  return {reinterpret_cast<const char*>(&key), sizeof key};
}

template <class Key>
Result<KeySet> KeysOf(int map) {
  KeySet keys;
  Key key{}, next{};
  const Key* from = nullptr;
  while (bpf_map_get_next_key(map, from, &next) == 0) {
    if (!keys.insert(Bytes(next)).second) break;
    key = next;
    from = &key;
  }
  if (errno != ENOENT && from != nullptr) return Errno("read the egress trie");
  return keys;
}

template <class Key>
Status Update(int map, const Key& key, const KernelPrefix& entry) {
  if (bpf_map_update_elem(map, &key, &entry.value, BPF_ANY) != 0)
    return Errno("egress trie: " + entry.prefix.ToString());
  return {};
}

template <class Key>
Status Remove(int map, const KeySet& keys) {
  for (const std::string& bytes : keys) {
    Key key{};
    std::memcpy(&key, bytes.data(), sizeof key);
    if (bpf_map_delete_elem(map, &key) != 0 && errno != ENOENT) return Errno("shrink egress trie");
  }
  return {};
}

}  // namespace

Status FillEgressTries(int egress4, int egress6, const std::vector<KernelPrefix>& policy) {
  auto old4 = KeysOf<bailey_egress_key4>(egress4);
  if (!old4) return old4.error();
  auto old6 = KeysOf<bailey_egress_key6>(egress6);
  if (!old6) return old6.error();
  for (const KernelPrefix& entry : policy) {
    if (entry.prefix.address.is_v6()) {
      const bailey_egress_key6 key = Key6(entry.prefix);
      BAILEY_TRY(Update(egress6, key, entry));
      old6->erase(Bytes(key));
    } else {
      const bailey_egress_key4 key = Key4(entry.prefix);
      BAILEY_TRY(Update(egress4, key, entry));
      old4->erase(Bytes(key));
    }
  }
  BAILEY_TRY(Remove<bailey_egress_key4>(egress4, *old4));
  return Remove<bailey_egress_key6>(egress6, *old6);
}

}  // namespace bailey::netproxy
