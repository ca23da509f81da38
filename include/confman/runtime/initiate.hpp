// What an asynchronous operation does when its token says go. Named objects, so that tokens find their
// executor.
#pragma once

#include <asio/any_io_executor.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "confman/map/map_state.hpp"
#include "confman/runtime/large_write.hpp"
#include "confman/runtime/pending.hpp"

namespace confman::detail {

// What may leave an effect behind can't be cancelled as if it had never been: asio::cancellation_type::total.
inline constexpr asio::cancellation_type with_effects =
    asio::cancellation_type::terminal | asio::cancellation_type::partial;

// Calls cancel(node) when the handler's slot is told to cancel in one of the ways `supported`.
template <class Node, class Handler, class Cancel>
void connect_cancellation(const std::shared_ptr<Node>& node, Handler& handler,
                          asio::cancellation_type supported, Cancel cancel) {
  auto slot = asio::get_associated_cancellation_slot(handler);
  if (!slot.is_connected()) return;
  slot.assign([weak = std::weak_ptr<Node>(node), supported, cancel](asio::cancellation_type how) {
    if ((how & supported) == asio::cancellation_type::none) return;
    if (const std::shared_ptr<Node> n = weak.lock()) cancel(*n);
  });
}

// Ends the wait of one operation.
struct cancel_wait {
  std::uint64_t operation;
  template <class Node>
  void operator()(Node& node) const {
    node.send_always(*new cancel_letter(operation));
  }
};

template <class Node>
class initiation {
 public:
  using executor_type = asio::any_io_executor;
  explicit initiation(std::shared_ptr<Node> node) : node_(std::move(node)) {}
  [[nodiscard]] executor_type get_executor() const noexcept { return node_->executor(); }

 protected:
  // Hands a new operation to the queue, or completes it at once (posted, as always) if it isn't taken.
  template <class Operation>
  void submit(Operation* operation) const {
    if (const std::error_code refused = node_->send(*operation)) refuse(*operation, refused);
  }
  static void refuse(write_operation& operation, std::error_code why) { operation.complete(why, {}); }
  static void refuse(read_operation& operation, std::error_code why) { operation.complete(why); }
  static void refuse(cluster_operation& operation, std::error_code why) {
    operation.complete({why, why.message()}, {});
  }

  std::shared_ptr<Node> node_;
};

// Hands a write to the queue, in one entry or in pieces. An error: it wasn't taken, and the operation is
// untouched.
template <class Node, class Operation>
[[nodiscard]] std::error_code send_write(const std::shared_ptr<Node>& node, Operation& operation,
                                         prepared_write&& write) {
  if (!write.value.empty()) {
    auto pieces = std::make_unique<large_write<Node>>(node, operation, std::move(write), node->next_upload());
    const std::error_code refused = node->send(*pieces);
    if (!refused) (void)pieces.release();
    return refused;
  }
  operation.command = std::move(write.command);
  operation.repeatable = write.repeatable;
  return node->send(operation);
}

template <class Node>
class initiate_write : public initiation<Node> {
 public:
  using initiation<Node>::initiation;

  template <class Handler>
  void operator()(Handler&& handler, result<prepared_write> write) const {
    using handler_type = std::decay_t<Handler>;
    using operation_type = handler_write<handler_type, asio::any_io_executor>;
    handler_type own(std::forward<Handler>(handler));
    const std::uint64_t id = this->node_->next_operation();
    connect_cancellation(this->node_, own, with_effects, cancel_wait{id});
    auto* operation = make_operation<operation_type>(own, std::move(own), this->node_->executor());
    operation->id = id;
    if (!write) return operation->complete(write.error().code, {});
    if (const std::error_code refused = send_write(this->node_, *operation, *std::move(write)))
      operation->complete(refused, {});
  }
};

// The handler takes the error and where in the log it happened.
struct finish_at {
  template <class Bound>
  void operator()(Bound bound, const failure& error, version at) const {
    Bound::post(std::move(bound), error.code, at);
  }
};
struct finish_without_place {
  template <class Bound>
  void operator()(Bound bound, const failure& error, version) const {
    Bound::post(std::move(bound), error.code);
  }
};
// After a snapshot, copies it to a file.
template <class Node>
struct finish_backup {
  Node* node;  // completes the operation, so it is there
  std::string path;

  template <class Bound>
  void operator()(Bound bound, const failure& error, version at) {
    if (error) return Bound::post(std::move(bound), error.code, at);
    node->copy_snapshot(at, std::move(path), [bound = std::move(bound), at](result<version> copied) mutable {
      if (copied) return Bound::post(std::move(bound), std::error_code(), *copied);
      Bound::post(std::move(bound), copied.error().code, at);
    });
  }
};

struct cluster_request {
  cluster_operation::action what = cluster_operation::action::snapshot;
  std::vector<member_change> changes;
  node_id target;
};

template <class Node>
class initiate_cluster : public initiation<Node> {
 public:
  using initiation<Node>::initiation;

  template <class Handler, class Finish>
  void operator()(Handler&& handler, cluster_request&& request, Finish finish) const {
    using handler_type = std::decay_t<Handler>;
    using operation_type = handler_cluster<handler_type, asio::any_io_executor, Finish>;
    handler_type own(std::forward<Handler>(handler));
    const std::uint64_t id = this->node_->next_operation();
    connect_cancellation(this->node_, own, with_effects, cancel_wait{id});
    auto* operation =
        make_operation<operation_type>(own, std::move(own), this->node_->executor(), std::move(finish));
    operation->id = id;
    operation->what = request.what;
    operation->changes = std::move(request.changes);
    operation->target = request.target;
    this->submit(operation);
  }
};

// What a read does once it is allowed: `Finish` is called with the bound handler and the error.
template <class Node>
class initiate_read : public initiation<Node> {
 public:
  using initiation<Node>::initiation;

  template <class Handler, class Finish>
  void operator()(Handler&& handler, std::optional<read_mode> mode, version token, Finish finish) const {
    using handler_type = std::decay_t<Handler>;
    using operation_type = handler_read<handler_type, asio::any_io_executor, Finish>;
    handler_type own(std::forward<Handler>(handler));
    const std::uint64_t id = this->node_->next_operation();
    connect_cancellation(this->node_, own, asio::cancellation_type::all, cancel_wait{id});
    auto* operation =
        make_operation<operation_type>(own, std::move(own), this->node_->executor(), std::move(finish));
    operation->id = id;
    if (!mode) return operation->complete({});  // local
    operation->mode = *mode;
    operation->token = token;
    this->submit(operation);
  }
};

template <class Node>
class initiate_run : public initiation<Node> {
 public:
  using initiation<Node>::initiation;

  template <class Handler, class Finish>
  void operator()(Handler&& handler, Finish finish) const {
    using handler_type = std::decay_t<Handler>;
    using operation_type = handler_read<handler_type, asio::any_io_executor, Finish>;
    handler_type own(std::forward<Handler>(handler));
    connect_cancellation(this->node_, own, with_effects, [](Node& node) { node.stop(); });
    this->node_->run(
        *make_operation<operation_type>(own, std::move(own), this->node_->executor(), std::move(finish)));
  }
};

// The handler takes the error alone.
struct finish_plain {
  template <class Bound>
  void operator()(Bound bound, std::error_code code) const {
    Bound::post(std::move(bound), code);
  }
};

// The handler takes the error, `refused` before any other, and the entry as it is now. The node completes the
// operation, so the map is there; owning the node from an operation that it owns would keep both for ever.
struct finish_get {
  const map_state* map;
  std::string key;
  std::error_code refused;  // why there can't be such a key

  template <class Bound>
  void operator()(Bound bound, std::error_code code) const {
    if (refused) code = refused;
    std::optional<map_entry> found;
    if (!code) found = map->get(key);
    Bound::post(std::move(bound), code, std::move(found));
  }
};

}  // namespace confman::detail
