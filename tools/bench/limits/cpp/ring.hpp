// The ring of package ringbuf in C++: a writer and a lossy reader, from its layout and its invariants I1 to I9 alone.
//
// Owns the two halves.  It states no offset: `layout.hpp` is made from ringbuf/layout.py when this is compiled, and its
// FORMAT, a digest of every field's place, must stand in a ring that is opened.
//
// Bytes of a frame are copied plainly, which races with a writer that laps us.  The fences keep the copy on its side of
// the look at `intent`, which says whether it was whole (I3); so do all seqlocks in C++17.

#pragma once

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <string>

#include "layout.hpp"
#include "process.hpp"

using Word = std::int64_t;

inline Word load_acquire(const Word* at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }
inline Word load_relaxed(const Word* at) { return __atomic_load_n(at, __ATOMIC_RELAXED); }
inline void store_release(Word* at, Word value) { __atomic_store_n(at, value, __ATOMIC_RELEASE); }
inline void store_relaxed(Word* at, Word value) { __atomic_store_n(at, value, __ATOMIC_RELAXED); }
inline void fence_acquire() { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
inline void fence_release() { __atomic_thread_fence(__ATOMIC_RELEASE); }
inline void fence_full() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

constexpr Word DESCRIPTOR_BYTES = descriptor::bytes;
constexpr Word DESCRIPTOR_WORDS = DESCRIPTOR_BYTES / 8;
constexpr Word DATA = HEADER_BYTES / 8;
constexpr Word PAD_BIT = PAD << descriptor::flags_shift;
constexpr Word VERSION_BITS = Word(VERSION) << descriptor::version_shift;
constexpr Word LENGTH_MASK = 0xFFFFFFFF;

inline Word record_bytes(Word length) { return (DESCRIPTOR_BYTES + length + ALIGNMENT - 1) & -ALIGNMENT; }

// A shared-memory object, mapped whole.
inline Word* map_object(const std::string& name, bool writable, Word& size) {
    const int fd = shm_open(name.c_str(), writable ? O_RDWR : O_RDONLY, 0);
    struct stat about;
    if (fd < 0 || fstat(fd, &about) < 0) fail("a shared-memory object", name.c_str());
    size = about.st_size;
    void* at = mmap(nullptr, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED) fail("an object that can be mapped", name.c_str());
    return static_cast<Word*>(at);
}

// A ring's header and data, checked: whoever sees the magic sees the whole header.
struct Ring {
    Word* words;
    Word capacity, salt, max_payload, reserve, region_bytes;

    Ring(const std::string& name, bool writable) {
        Word size;
        words = map_object(name, writable, size);
        if (size <= HEADER_BYTES || load_acquire(words + header::magic) != MAGIC) fail("a finished ring", name.c_str());
        if (words[header::version] != FORMAT) fail("a ring of the layout that this was compiled for", "another");
        capacity = words[header::capacity];
        if (capacity <= 0 || capacity & (capacity - 1) || size != HEADER_BYTES + capacity)
            fail("as many bytes as the header says", name.c_str());
        salt = words[header::salt];
        max_payload = words[header::max_frame] - DESCRIPTOR_BYTES;
        reserve = words[header::reserve];
        region_bytes = capacity / ANCHORS;
    }

    Word* record(Word position) const { return words + DATA + ((position & (capacity - 1)) >> 3); }
    Word room(Word position) const { return capacity - (position & (capacity - 1)); }
};

// ---- the writer

class RingWriter {
   public:
    // Takes both locks of a writer and continues at the tail of the last one (I5, I6).
    explicit RingWriter(const std::string& name) : ring_(name, true) {
        Word size;
        control_ = map_object(name + CONTROL_SUFFIX, true, size);
        lock(name + LOCK_SUFFIX);
        lock(name);
        Word* words = ring_.words;
        tail_ = load_acquire(words + header::tail);
        intent_ = load_acquire(words + header::intent);
        int slot = load_acquire(words + commit_word(0) + commit::tail) == tail_ ? 0 : 1;
        if (load_acquire(words + commit_word(slot) + commit::tail) != tail_) fail("a commit record of the tail", "none");
        sequence_ = load_relaxed(words + commit_word(slot) + commit::next_sequence);
        turn_ = 1 - slot;
        wake_sequence_ = load_relaxed(words + header::wake_sequence);
        pads_ = load_relaxed(words + header::pads);
        wakes_ = load_relaxed(words + header::wakes);
        store_relaxed(words + header::heartbeat_ns, monotonic_ns());
        store_relaxed(words + header::pid, getpid());
        store_relaxed(words + header::state, ALIVE);
        store_relaxed(words + header::epoch_position, tail_);
        store_relaxed(words + header::epoch_sequence, sequence_);
        store_release(words + header::epoch, load_relaxed(words + header::epoch) + 1);
    }

    // One frame, visible at once; its sequence, or 0 where a reliable reader has not made room.
    Word publish(const void* payload, Word length, Word now_ns) {
        if (length > ring_.max_payload) fail("a payload that fits a frame", "a longer one");
        const Word need = record_bytes(length), room = ring_.room(tail_), pad = need > room ? room : 0;
        const Word end = tail_ + pad + need;
        if (end > intent_ && !declare(end)) return 0;
        Word at = tail_;
        if (pad) {
            describe(at, (pad - DESCRIPTOR_BYTES) | PAD_BIT, now_ns);
            store_relaxed(ring_.words + header::pads, ++pads_);
            at += pad;
        }
        describe(at, length, now_ns);
        Word* body = ring_.record(at) + DESCRIPTOR_WORDS;
        if (length & 7) body[length >> 3] = 0;  // a payload is padded with zeros to whole words
        std::memcpy(body, payload, length);
        commit(at, end, now_ns);
        return sequence_ - 1;
    }

    // Wake the readers that sleep, if any (I8).
    void wake() {
        fence_full();
        if (load_relaxed(control_ + control::ticket) <= wake_sequence_) return;
        store_release(ring_.words + header::wake_sequence, ++wake_sequence_);
        syscall(SYS_futex, ring_.words + header::wake_sequence, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
        store_relaxed(ring_.words + header::wakes, ++wakes_);
    }

    // Mark the ring closed and wake everybody.
    void close_ring() {
        store_release(ring_.words + header::state, CLOSED);
        store_release(ring_.words + header::wake_sequence, ++wake_sequence_);
        syscall(SYS_futex, ring_.words + header::wake_sequence, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
    }

   private:
    static Word commit_word(int slot) { return header::commit + slot * (commit::bytes / 8); }

    static void lock(const std::string& name) {
        const int fd = shm_open(name.c_str(), O_RDWR, 0);  // stays open: the lock lives as long as it
        struct flock byte{};
        byte.l_type = F_WRLCK;
        byte.l_len = 1;
        if (fd < 0 || fcntl(fd, F_OFD_SETLK, &byte) < 0) fail("a ring without a writer", name.c_str());
    }

    // Raise `intent` over everything before `end`, by whole reserves, as far as reliable readers let us (I2, I7).
    bool declare(Word end) {
        if (end > gate_) {
            Word slowest = tail_;
            fence_full();
            for (Word slot = 0; slot < SLOTS; ++slot) {
                const Word* at = control_ + control::slots + slot * (slot::bytes / 8);
                if (load_acquire(at + slot::state) == JOINED) slowest = std::min(slowest, load_acquire(at + slot::position));
            }
            gate_ = std::max(gate_, slowest + ring_.capacity);
            store_release(ring_.words + header::gate, gate_);
            if (end > gate_) return false;
        }
        intent_ = std::min((end + ring_.reserve - 1) / ring_.reserve * ring_.reserve, gate_);
        store_relaxed(ring_.words + header::intent, intent_);
        fence_release();
        return true;
    }

    void describe(Word position, Word bits, Word now_ns) {
        Word* at = ring_.record(position);
        store_relaxed(at, bits | VERSION_BITS);
        store_relaxed(at + descriptor::position_tag, position ^ ring_.salt);
        store_relaxed(at + descriptor::sequence, sequence_);
        store_relaxed(at + descriptor::publish_ns, now_ns);
    }

    // The commit record, then the tail, which makes it visible; hints for late readers follow (I1, I5).
    void commit(Word latest, Word end, Word now_ns) {
        Word* words = ring_.words;
        Word* record = words + commit_word(turn_);
        store_relaxed(record + commit::tail, end);
        store_relaxed(record + commit::next_sequence, ++sequence_);
        store_relaxed(record + commit::latest, latest);
        store_relaxed(words + header::publish_ns, now_ns);
        store_release(words + header::tail, end);
        turn_ = 1 - turn_;
        const Word region = (tail_ & (ring_.capacity - 1)) / ring_.region_bytes;
        if (region != region_) {
            region_ = region;
            store_release(words + header::anchors + region, tail_);
        }
        tail_ = end;
    }

    Ring ring_;
    Word* control_;
    Word tail_, intent_, gate_ = 0, sequence_, region_ = -1, wake_sequence_, pads_, wakes_;
    int turn_;
};

// ---- the reader

// Named differently from the kernels' statuses: only these five can meet a reader that takes no slot.
enum class Read { FRAME, NOTHING, LOSS, ENDED, DAMAGED };

class RingReader {
   public:
    // From `position`, where the frame `sequence` begins; 0 and 1 are where a ring begins.
    RingReader(const std::string& name, Word position, Word sequence)
        : ring_(name, false), position_(position), sequence_(sequence) {}

    // From a quarter of the ring ahead of the writer.
    static RingReader at_oldest(const std::string& name) {
        RingReader reader(name, 0, 1);
        reader.skip();
        return reader;
    }

    // Copy the next frame to `out`, which holds `max_payload` bytes and 7 more; `length` and `sequence` tell of it.
    // After LOSS, `first_lost` to `last_lost` were overwritten, and reading goes on behind them.
    Read next(void* out) {
        if (position_ == end_) end_ = load_acquire(ring_.words + header::tail);
        while (position_ != end_) {
            if (end_ - position_ > ring_.capacity) return skip();
            const Word* at = ring_.record(position_);
            const Word bits = load_relaxed(at), room = ring_.room(position_), size = record_bytes(bits & LENGTH_MASK);
            const bool is_pad = bits & PAD_BIT;
            bool fits = size <= room && size <= end_ - position_;
            fits &= load_relaxed(at + descriptor::position_tag) == (position_ ^ ring_.salt);
            fits &= load_relaxed(at + descriptor::sequence) == sequence_;
            fits &= is_pad ? size == room : (bits & LENGTH_MASK) <= ring_.max_payload;
            if (!fits) return intact(position_, ring_.capacity) ? Read::DAMAGED : skip();
            if (!is_pad) {
                length = bits & LENGTH_MASK;
                std::memcpy(out, at + DESCRIPTOR_WORDS, (length + 7) & ~Word(7));
            }
            if (!intact(position_, ring_.capacity)) return skip();
            position_ += size;
            if (is_pad) continue;
            sequence = sequence_++;
            return Read::FRAME;
        }
        const bool closed = load_acquire(ring_.words + header::state) == CLOSED;
        return closed && load_acquire(ring_.words + header::tail) == position_ ? Read::ENDED : Read::NOTHING;
    }

    Word max_payload() const { return ring_.max_payload; }

    Word length = 0, sequence = 0, first_lost = 0, last_lost = 0;

   private:
    // Whether nothing from `position` on had been overwritten when the copy ended (I3).
    bool intact(Word position, Word capacity) const {
        fence_acquire();
        return load_relaxed(ring_.words + header::intent) - position <= capacity;
    }

    // Go on a quarter of the ring ahead of the writer, or at its tail (I9).
    Read skip() {
        const Word expected = sequence_;
        while (!seek_oldest(ring_.capacity / 4) && !seek_tail()) {
        }
        if (sequence_ == expected) return Read::NOTHING;
        first_lost = expected;
        last_lost = sequence_ - 1;
        return Read::LOSS;
    }

    bool seek_tail() {
        const Word* words = ring_.words;
        const Word tail = load_acquire(words + header::tail);
        for (int slot = 0; slot < 2; ++slot) {
            const Word* record = words + header::commit + slot * (commit::bytes / 8);
            if (load_acquire(record + commit::tail) != tail) continue;
            const Word next = load_relaxed(record + commit::next_sequence);
            fence_acquire();
            if (load_relaxed(words + header::tail) != tail || next < sequence_) continue;
            position_ = end_ = tail;
            sequence_ = next;
            return true;
        }
        return false;
    }

    bool seek_oldest(Word reserve) {
        const Word* words = ring_.words;
        const Word floor = load_acquire(words + header::intent) - ring_.capacity + reserve;
        const Word tail = load_acquire(words + header::tail);
        Word oldest = tail;
        for (Word region = 0; region < ANCHORS; ++region) {
            const Word anchor = load_acquire(words + header::anchors + region);
            if (floor <= anchor && anchor < oldest) oldest = anchor;
        }
        if (oldest == tail || oldest & (ALIGNMENT - 1)) return false;
        const Word* at = ring_.record(oldest);
        const Word tag = load_relaxed(at + descriptor::position_tag);
        const Word found = load_relaxed(at + descriptor::sequence);
        if (!intact(oldest, ring_.capacity - reserve) || tag != (oldest ^ ring_.salt) || found < sequence_) return false;
        position_ = oldest;
        end_ = tail;
        sequence_ = found;
        return true;
    }

    Ring ring_;
    Word position_, sequence_;
    Word end_ = position_;  // the last tail that was loaded: its line is left to the writer until this is reached
};
