#include "scripts/script.hpp"

#include <charconv>
#include <utility>

namespace confman::scripts {

namespace {

constexpr std::string_view separator = "----";

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.push_back(line);
  }
  return lines;
}

void add_line(std::string& text, std::string_view line) {
  text += line;
  text += '\n';
}

// The values between parentheses; commas in inner parentheses don't separate. `at` is after the opening one.
std::vector<std::string> values_in_parentheses(std::string_view line, std::size_t& at) {
  std::vector<std::string> values;
  std::size_t from = at;
  for (int depth = 1; depth > 0; ++at) {
    if (at == line.size())
      throw script_error("column " + std::to_string(from + 1) + ": a ')' is missing: " + std::string(line));
    depth += line[at] == '(' ? 1 : line[at] == ')' ? -1 : 0;
    if (depth > 1 || (depth == 1 && line[at] != ',')) continue;
    values.emplace_back(line.substr(from, at - from));
    from = at + 1;
    if (depth == 0) continue;
    while (from < line.size() && line[from] == ' ') ++from;
    at = from - 1;
  }
  return values;
}

// Reads one script, line by line.
class reader {
 public:
  reader(std::string path, std::string_view text) : lines_(lines_of(text)) { script_.path = std::move(path); }

  script read() {
    while (at_ < lines_.size()) {
      const std::string_view line = take(before_);
      const std::string_view content = trimmed(line);
      if (content.empty() || content.starts_with('#')) continue;
      read_case(std::string(content));
    }
    script_.after = std::move(before_);
    return std::move(script_);
  }

 private:
  std::string_view take(std::string& kept) {
    add_line(kept, lines_[at_]);
    return lines_[at_++];
  }

  void read_case(std::string command_line) {
    script_case one;
    one.line = at_;
    while (command_line.ends_with('\\') && at_ < lines_.size()) {
      command_line.back() = ' ';
      command_line += trimmed(take(before_));
    }
    try {
      one.arguments = parse_arguments(command_line, one.command);
    } catch (const script_error& error) {
      throw script_error(script_.path + ":" + std::to_string(one.line) + ": " + error.what());
    }
    if (one.command == "subtest") return;  // only a heading here
    one.command_line = std::move(command_line);
    std::string input;
    while (at_ < lines_.size() && !one.complete) {
      if (lines_[at_] == separator) {
        ++at_;
        one.complete = true;
      } else {
        add_line(input, take(before_));
      }
    }
    one.input = trimmed(input);
    one.before = std::exchange(before_, {});
    if (one.complete) read_expected(one);
    script_.cases.push_back(std::move(one));
  }

  void read_expected(script_case& one) {
    const auto is_separator = [this](std::size_t at) {
      return at < lines_.size() && lines_[at] == separator;
    };
    if (!is_separator(at_)) {
      one.expected_line = at_ + 1;
      while (at_ < lines_.size() && !trimmed(lines_[at_]).empty()) add_line(one.expected, lines_[at_++]);
      if (at_ < lines_.size()) ++at_;  // the blank line that ends it
      return;
    }
    one.expected_line = ++at_ + 1;
    while (at_ < lines_.size() && !(is_separator(at_) && is_separator(at_ + 1)))
      add_line(one.expected, lines_[at_++]);
    if (at_ == lines_.size())
      throw script_error(script_.path + ":" + std::to_string(one.expected_line) +
                         ": output that begins after two lines of ---- must end with two of them");
    at_ += 2;
    if (at_ == lines_.size()) return;
    if (!lines_[at_].empty())
      throw script_error(script_.path + ":" + std::to_string(at_ + 1) +
                         ": a blank line must follow the two lines of ---- that end an output");
    ++at_;
  }

  std::vector<std::string_view> lines_;
  std::size_t at_ = 0;
  std::string before_;
  script script_;
};

bool has_blank_line(std::string_view output) {
  for (const std::string_view line : lines_of(output))
    if (trimmed(line).empty()) return true;
  return false;
}

}  // namespace

std::string_view trimmed(std::string_view text) noexcept {
  constexpr std::string_view white = " \t\r\n";
  const std::size_t first = text.find_first_not_of(white);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(white) - first + 1);
}

std::optional<std::uint64_t> number_of(std::string_view text) noexcept {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

std::vector<argument> parse_arguments(std::string_view line, std::string& command) {
  std::vector<argument> arguments;
  std::size_t at = std::min(line.find(' '), line.size());
  command = line.substr(0, at);
  for (;;) {
    at = line.find_first_not_of(" \t", at);
    if (at == std::string_view::npos) return arguments;
    const std::size_t key_end = std::min(line.find_first_of(" =", at), line.size());
    if (key_end == at)
      throw script_error("column " + std::to_string(at + 1) + ": '=' without a name: " + std::string(line));
    argument one{std::string(line.substr(at, key_end - at)), {}};
    at = key_end;
    if (at < line.size() && line[at] == '=') {
      if (++at < line.size() && line[at] == '(') {
        one.values = values_in_parentheses(line, ++at);
      } else {
        const std::size_t end = std::min(line.find(' ', at), line.size());
        one.values.emplace_back(line.substr(at, end - at));
        at = end;
      }
    }
    arguments.push_back(std::move(one));
  }
}

script parse_script(std::string path, std::string_view text) {
  return reader(std::move(path), text).read();
}

std::string rewritten(const script& source, const std::vector<std::string>& outputs) {
  std::string text;
  for (std::size_t i = 0; i < source.cases.size(); ++i) {
    text += source.cases[i].before;
    add_line(text, separator);
    const bool blank = has_blank_line(outputs[i]);
    if (blank) add_line(text, separator);
    text += outputs[i];
    if (blank) text += "----\n----\n";
    text += '\n';
  }
  text += source.after;
  if (text.ends_with("\n\n")) text.pop_back();
  return text;
}

std::string difference(std::string_view expected, std::string_view found) {
  const std::vector<std::string_view> a = lines_of(expected), b = lines_of(found);
  // common[i][j]: how many lines a from i on and b from j on have in common, in order.
  std::vector<std::vector<std::size_t>> common(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = a.size(); i-- > 0;)
    for (std::size_t j = b.size(); j-- > 0;)
      common[i][j] = a[i] == b[j] ? common[i + 1][j + 1] + 1 : std::max(common[i + 1][j], common[i][j + 1]);
  std::string text;
  const auto show = [&text](char mark, std::string_view line) {
    text += mark;
    add_line(text, line);
  };
  std::size_t i = 0, j = 0;
  while (i < a.size() || j < b.size()) {
    if (i < a.size() && j < b.size() && a[i] == b[j]) {
      show(' ', a[i++]);
      ++j;
    } else if (j == b.size() || (i < a.size() && common[i + 1][j] >= common[i][j + 1])) {
      show('-', a[i++]);
    } else {
      show('+', b[j++]);
    }
  }
  return text;
}

}  // namespace confman::scripts
