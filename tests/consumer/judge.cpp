// A user's program that judges histories: as values and, unless it does without RapidJSON, from a file.
#include <confman/check/linearizability.hpp>
#include <confman/check/witness.hpp>

#if !defined(CONFMAN_CONSUMER_WITHOUT_FILES)
#include <confman/check/history_file.hpp>
#elif defined(RAPIDJSON_DOCUMENT_H_)
#error "the checkers must not include RapidJSON"
#endif

#include <cstdio>
#include <sstream>

using namespace confman::check;

int main() {
  operation put;
  put.kind = operation_kind::put;
  put.key = "/a";
  put.value = "x";
  put.end = outcome::answered;
  put.revision = 2;
  put.version = {1, 2};
  put.returned = 5;
  operation stale;
  stale.key = put.key;
  stale.end = outcome::answered;
  stale.version = {1, 1};
  stale.called = 6;
  stale.returned = 7;
  history all{put, stale};
#if !defined(CONFMAN_CONSUMER_WITHOUT_FILES)
  std::stringstream file;
  for (const operation& op : all) file << write_operation(op) << '\n';
  const auto read = read_history(file);
  all = read ? *read : history{};
#endif
  const bool good = check_witness({put}).end == verdict::good &&
                    check_witness(all).end == verdict::violation &&
                    check_linearizability(all, register_model::value).end == verdict::violation;
  std::printf("confman::check: %s\n", good ? "ok" : "wrong");
  return good ? 0 : 1;
}
