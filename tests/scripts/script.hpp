// Data-driven scripts: a command line, lines of input, ----, the output that is expected.
#pragma once

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace confman::scripts {

// A script, or a case in it, that can't be run: what() says where and why.
class script_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct argument {  // key, key=value or key=(value, value, ...)
  std::string key;
  std::vector<std::string> values;
};

struct script_case {
  std::size_t line = 0;           // of the command, from 1
  std::size_t expected_line = 0;  // where the expected output begins
  std::string command_line;
  std::string command;
  std::vector<argument> arguments;
  std::string input;      // without white space around it
  std::string expected;   // each line ends in \n
  bool complete = false;  // there is a ---- line
  std::string before;     // the file from the end of the case before to the ---- line, as it stands
};

struct script {
  std::string path;
  std::vector<script_case> cases;
  std::string after;  // what follows the last case
};

// Splits a command line. Throws script_error with the column of what can't be understood.
[[nodiscard]] std::vector<argument> parse_arguments(std::string_view line, std::string& command);

[[nodiscard]] script parse_script(std::string path, std::string_view text);

// The script's text with these outputs in place of the expected ones, one for each case.
[[nodiscard]] std::string rewritten(const script& source, const std::vector<std::string>& outputs);

// The lines that differ marked with - and +, the others with a space.
[[nodiscard]] std::string difference(std::string_view expected, std::string_view found);

// White space at both ends removed.
[[nodiscard]] std::string_view trimmed(std::string_view text) noexcept;

// A decimal number; nothing else may stand around it.
[[nodiscard]] std::optional<std::uint64_t> number_of(std::string_view text) noexcept;

}  // namespace confman::scripts
