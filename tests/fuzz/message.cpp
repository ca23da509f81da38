// The decoders of what comes from peers and disks: any bytes give a value whose encoding they are, or a
// refusal.
#include <cereal/types/string.hpp>
#include <cereal/types/vector.hpp>
#include <string>
#include <vector>

#include "confman/core/configuration_log.hpp"
#include "confman/core/joint_change.hpp"
#include "confman/map/command.hpp"
#include "confman/transport/framing.hpp"
#include "confman/wire/message_codec.hpp"
#include "confman/wire/value_codec.hpp"
#include "fuzz/target.hpp"

namespace {

using namespace confman;

std::string encoded(const message& m) {
  gather_buffer out;
  encode_message(m, out);
  return out.str();
}

struct nested {
  std::vector<std::vector<std::string>> names;
  bool on = false;
  std::vector<double> numbers;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(names, on, numbers);
  }
};

void check_typed(std::string_view bytes) {
  if (const auto value = decode_value<nested>(bytes))
    fuzz::expect(encode_value(*value) == bytes, "a typed value is encoded as it came");
  (void)decode_value<int>(bytes);
  (void)decode_value<double>(bytes);
  (void)decode_value<bool>(bytes);
}

}  // namespace

FUZZ_TARGET(message) {
  const auto m = decode_message(bytes);
  const auto shared = decode_message(shared_bytes::copy(bytes));
  fuzz::expect(static_cast<bool>(m) == static_cast<bool>(shared), "both forms of decode_message agree");
  if (!m) {
    fuzz::expect(m.error().code == make_error_code(errc::bad_frame), "a refusal is bad_frame");
    return;
  }
  fuzz::expect(encoded(*m) == bytes, "a message is encoded as it came");
  fuzz::expect(encoded(*shared) == bytes, "so is one that shares its payload");
  fuzz::expect(encoded_message_size(*m) == bytes.size(), "its size is known");
}

FUZZ_TARGET(records) {
  fuzz::input in(bytes);
  const std::size_t kind = in.below(7);
  const std::string_view body = in.rest();
  if (kind == 0) {
    if (const auto c = decode_configuration(body)) {
      fuzz::expect(encode_configuration(*c).view() == body, "a configuration is encoded as it came");
      fuzz::expect(!check_configuration(*c), "and keeps its invariants");
    }
  } else if (kind == 1) {
    if (const auto meta = decode_snapshot_meta(body))
      fuzz::expect(encode_snapshot_meta(*meta).view() == body, "a description is encoded as it came");
  } else if (kind == 2) {
    const shared_bytes owned = shared_bytes::copy(body);
    if (const auto c = decode(owned)) {
      const shared_bytes again = encode(*c);
      const auto back = decode(again);
      fuzz::expect(back && *back == *c, "a command survives encoding");
      fuzz::expect(again == owned, "and is encoded as it came");
    }
  } else if (kind == 3) {
    const shared_bytes owned = shared_bytes::copy(body);
    if (const auto answer = decode_apply_result(owned))
      fuzz::expect(encode(*answer) == owned, "an answer is encoded as it came");
  } else if (kind == 4) {
    if (const auto h = decode_hello(body)) {
      const failure why = check_hello(*h, {cluster_id(1), node_id(2), node_id(in.number(1)), true, "a:1"});
      fuzz::expect(static_cast<bool>(why.code) == !why.what.empty(), "a refusal has a text");
    }
  } else if (kind == 5) {
    if (const auto r = decode_refusal(body))
      for (const char c : r->text) fuzz::expect(c >= ' ' && c != '\x7f', "a peer's text is printable");
  } else {
    check_typed(body);
  }
}
