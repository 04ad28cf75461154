// A broadcast queue without the ring's promises: what publishing and reading cost at least.
//
// One producer, readers with cursors of their own, messages aligned to blocks of a cache line, in shared memory.  The
// kind is that of PubSubQueue (github.com/MengRao/PubSubQueue); this is written from the idea.  Against the ring it
// lacks: damage found out, exact losses, a successor after a crash, reliable readers, sleepers, late readers.
//
// Cursors count blocks and never wrap.  `claimed` says how far the producer may be overwriting, `written` how far
// readers may read.

#pragma once

#include <atomic>
#include <cstring>

#include "process.hpp"

template <std::uint64_t BLOCKS>
class BroadcastQueue {
    static_assert((BLOCKS & (BLOCKS - 1)) == 0, "a power of two");

   public:
    enum class Outcome { MESSAGE, NOTHING, LAPPED };

    void publish(const void* payload, std::uint64_t size) {
        const std::uint64_t blocks = blocks_of(size);
        std::uint64_t at = written_.load(std::memory_order_relaxed);
        const std::uint64_t left = BLOCKS - (at & (BLOCKS - 1));
        const std::uint64_t skipped = blocks > left ? left : 0;  // a message never wraps
        claimed_.store(at + skipped + blocks, std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_release);
        if (skipped) {
            block(at).size = SKIP;
            at += skipped;
        }
        block(at).size = size;
        std::memcpy(block(at).bytes, payload, size);
        written_.store(at + blocks, std::memory_order_release);
    }

    // Copy the message at `cursor`, of at most `most` <= 1,024 bytes, to `out`; the cursor is the reader's own.
    Outcome read(std::uint64_t& cursor, void* out, std::uint64_t most, std::uint64_t& size) const {
        std::uint64_t at = cursor;
        if (at == written_.load(std::memory_order_acquire)) return Outcome::NOTHING;
        if (block(at).size == SKIP) at += BLOCKS - (at & (BLOCKS - 1));
        size = block(at).size;
        if (size > most) return Outcome::LAPPED;  // bytes of another lap
        std::memcpy(out, block(at).bytes, size);
        std::atomic_thread_fence(std::memory_order_acquire);
        if (claimed_.load(std::memory_order_relaxed) - cursor > BLOCKS) return Outcome::LAPPED;
        cursor = at + blocks_of(size);
        return Outcome::MESSAGE;
    }

    // The newest place.
    std::uint64_t end() const { return written_.load(std::memory_order_acquire); }

    // A quarter of the queue ahead of the producer, about: a lapped reader goes on there, as the ring's does.
    std::uint64_t older(std::uint64_t message_blocks) const {
        const std::uint64_t end = written_.load(std::memory_order_acquire);
        return end > BLOCKS ? end - BLOCKS / 2 / message_blocks * message_blocks : end;
    }

   private:
    struct alignas(64) Block {
        std::uint64_t size;
        char bytes[56];
    };
    static constexpr std::uint64_t SKIP = ~0ull;

    static std::uint64_t blocks_of(std::uint64_t size) { return (sizeof size + size + 63) / 64; }
    Block& block(std::uint64_t at) { return blocks_[at & (BLOCKS - 1)]; }
    const Block& block(std::uint64_t at) const { return blocks_[at & (BLOCKS - 1)]; }

    alignas(128) std::atomic<std::uint64_t> claimed_{0};
    std::atomic<std::uint64_t> written_{0};
    alignas(128) Block blocks_[BLOCKS];
    Block beyond_[16];  // a reader that is being lapped may copy up to 1 KiB from here, and then finds out
};
