// The native side of `alphapulse bench --only limits`: the ring's C++ twin, and a bare broadcast queue beside it.
//
//   ring-publish RING CORE             publish flat out until SIGTERM; prints frames, nanoseconds, 0
//   ring-read RING CORE PAUSES         read until SIGTERM, with so many pauses after each frame; prints frames,
//                                      nanoseconds, frames lost
//   queue-publish FD CORE              the same in a queue in the shared memory of a descriptor
//   queue-read FD CORE PAUSES          and its reader; messages lost are not told
//   ring-publish-turns RING CORE FD    publish TURN frames whenever the word in the shared memory FD is even, and make it
//   ring-read-turns RING CORE FD       odd; read them whenever it is odd, and make it even; until SIGTERM, both print
//   queue-publish-turns FD CORE FD     the frames of a turn, the median of the turns' nanoseconds, 0
//   queue-read-turns FD CORE FD
//   ring-fill RING                     publish what comes on stdin as {length u32, bytes}; then close the ring
//   ring-drain RING                    write what was published to stdout, until the ring is closed, as
//                                      {sequence i64, length i64, bytes}; a loss as {first i64, -1 - last}
//
// RING is the name of the ring's shared-memory object; CORE is -1 where nothing is pinned.

#include <algorithm>
#include <string>
#include <vector>

#include "broadcast_queue.hpp"
#include "process.hpp"
#include "ring.hpp"

namespace {

constexpr Word PAYLOAD_BYTES = 128;
using Queue = BroadcastQueue<(1 << 22) / 64>;  // as large as the ring that it is compared with

struct Payload {
    unsigned char bytes[PAYLOAD_BYTES];
    Payload() {
        for (int i = 0; i < PAYLOAD_BYTES; ++i) bytes[i] = i;
    }
};

Queue& queue_of(const char* descriptor) {
    const int fd = std::atoi(descriptor);
    if (ftruncate(fd, sizeof(Queue)) < 0) fail("a shared memory to resize", descriptor);
    void* at = mmap(nullptr, sizeof(Queue), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (at == MAP_FAILED) fail("a shared memory to map", descriptor);
    return *static_cast<Queue*>(at);  // zeros are a new queue
}

// A writer is ready once it has been at work for a while, so that a reader that is started then is behind it.
constexpr std::int64_t LEAD_NS = 20'000'000;
constexpr int TURN = 1 << 12;

// It counts from SIGUSR1, when its reader is at work, to SIGTERM.
template <class Publish>
void publish_flat_out(Publish publish) {
    const auto turn = [&] {
        for (int i = 0; i < TURN; ++i) publish();
    };
    const std::int64_t lead = monotonic_ns() + LEAD_NS;
    while (monotonic_ns() < lead) turn();
    say("ready");
    while (!told_to_count && !told_to_end) turn();
    const std::int64_t began = monotonic_ns();
    std::int64_t frames = 0;
    do {
        turn();
        frames += TURN;
    } while (!told_to_end);
    report(frames, monotonic_ns() - began, 0);
}

void work(int pauses) {
    for (int i = 0; i < pauses; ++i) pause_core();
}

// A reader counts from its first frame to SIGTERM.
template <class Turn>
void read_flat_out(std::int64_t& lost, Turn turn) {
    const std::int64_t patience = monotonic_ns() + 10'000'000'000;
    std::int64_t frames = 0, began = 0;
    while (!told_to_end) {
        if (!frames) began = monotonic_ns(), lost = 0;
        if (!frames && began > patience) fail("a frame within ten seconds", "none");
        const bool first = !frames;
        for (int i = 0; i < TURN; ++i) frames += turn();
        if (first && frames) say("ready");
    }
    report(frames, monotonic_ns() - began, lost);
}

int ring_publish(const std::string& name) {
    RingWriter writer(name);
    const Payload payload;
    publish_flat_out([&] { writer.publish(payload.bytes, PAYLOAD_BYTES, 0); });
    return 0;
}

int ring_read(const std::string& name, int pauses) {
    RingReader reader = RingReader::at_oldest(name);
    std::vector<unsigned char> out(reader.max_payload() + 8);
    std::int64_t lost = 0;
    read_flat_out(lost, [&] {
        const Read outcome = reader.next(out.data());
        if (outcome == Read::DAMAGED) fail("whole frames", "a damaged one");
        if (outcome == Read::LOSS) lost += reader.last_lost - reader.first_lost + 1;
        work(pauses);
        return outcome == Read::FRAME;
    });
    return 0;
}

int queue_publish(const char* descriptor) {
    Queue& queue = queue_of(descriptor);
    const Payload payload;
    publish_flat_out([&] { queue.publish(payload.bytes, PAYLOAD_BYTES); });
    return 0;
}

int queue_read(const char* descriptor, int pauses) {
    const Queue& queue = queue_of(descriptor);
    unsigned char out[1024];
    std::uint64_t cursor = queue.older(3), size;
    std::int64_t untold = 0;
    read_flat_out(untold, [&] {
        const Queue::Outcome outcome = queue.read(cursor, out, sizeof out, size);
        if (outcome == Queue::Outcome::LAPPED) cursor = queue.older(3);
        work(pauses);
        return outcome == Queue::Outcome::MESSAGE;
    });
    return 0;
}

// ---- in turns

constexpr int TURN_FRAMES = 1024;
constexpr int FIRST_TURNS = 64;  // three laps, whose pages are new to one side or the other: not timed

// `work` is timed whenever it is this side's turn.
template <class Work>
int take_turns(const char* descriptor, Word mine, Work work) {
    void* at = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, std::atoi(descriptor), 0);
    if (at == MAP_FAILED) fail("a shared memory to map", descriptor);
    Word* turn = static_cast<Word*>(at);
    std::vector<std::int64_t> took;
    say("ready");
    int turns = 0;
    while (!told_to_end || took.empty()) {
        const Word now = load_acquire(turn);
        if ((now & 1) != mine) {
            pause_core();
            continue;
        }
        const std::int64_t began = monotonic_ns();
        work();
        if (turns++ >= FIRST_TURNS) took.push_back(monotonic_ns() - began);
        store_release(turn, now + 1);
    }
    std::sort(took.begin(), took.end());
    report(TURN_FRAMES, took[took.size() / 2], 0);
    return 0;
}

int ring_publish_turns(const std::string& name, const char* turn) {
    RingWriter writer(name);
    const Payload payload;
    return take_turns(turn, 0, [&] {
        for (int i = 0; i < TURN_FRAMES; ++i) writer.publish(payload.bytes, PAYLOAD_BYTES, 0);
    });
}

int ring_read_turns(const std::string& name, const char* turn) {
    RingReader reader(name, 0, 1);
    std::vector<unsigned char> out(reader.max_payload() + 8);
    return take_turns(turn, 1, [&] {
        for (int i = 0; i < TURN_FRAMES; ++i)
            if (reader.next(out.data()) != Read::FRAME) fail("a turn's frames", "less");
    });
}

int queue_publish_turns(const char* descriptor, const char* turn) {
    Queue& queue = queue_of(descriptor);
    const Payload payload;
    return take_turns(turn, 0, [&] {
        for (int i = 0; i < TURN_FRAMES; ++i) queue.publish(payload.bytes, PAYLOAD_BYTES);
    });
}

int queue_read_turns(const char* descriptor, const char* turn) {
    const Queue& queue = queue_of(descriptor);
    unsigned char out[1024];
    std::uint64_t cursor = 0, size;
    return take_turns(turn, 1, [&] {
        for (int i = 0; i < TURN_FRAMES; ++i)
            if (queue.read(cursor, out, sizeof out, size) != Queue::Outcome::MESSAGE) fail("a turn's messages", "less");
    });
}

// ---- bit for bit

int ring_fill(const std::string& name) {
    RingWriter writer(name);
    std::vector<char> payload;
    std::uint32_t length;
    say("ready");
    while (std::fread(&length, sizeof length, 1, stdin) == 1) {
        payload.resize(length);
        if (std::fread(payload.data(), 1, length, stdin) != length) fail("a whole payload", "its beginning");
        while (!writer.publish(payload.data(), length, monotonic_ns())) sched_yield();
        writer.wake();
    }
    writer.close_ring();
    return 0;
}

int ring_drain(const std::string& name) {
    RingReader reader(name, 0, 1);
    std::vector<char> out(reader.max_payload() + 8);
    for (;;) {
        const Read outcome = reader.next(out.data());
        if (outcome == Read::DAMAGED) fail("whole frames", "a damaged one");
        if (outcome == Read::ENDED) break;
        if (outcome == Read::NOTHING) {
            std::fflush(stdout);
            sched_yield();
            continue;
        }
        const bool frame = outcome == Read::FRAME;
        const Word about[2] = {frame ? reader.sequence : reader.first_lost, frame ? reader.length : -1 - reader.last_lost};
        std::fwrite(about, sizeof about, 1, stdout);
        if (frame) std::fwrite(out.data(), 1, reader.length, stdout);
    }
    return std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
    follow_parent();
    const std::vector<std::string> given(arguments + 1, arguments + count);
    const std::string what = given.empty() ? "" : given[0];
    if (given.size() >= 3) pin(std::stoi(given[2]));
    if (what == "ring-publish" && given.size() == 3) return ring_publish(given[1]);
    if (what == "ring-read" && given.size() == 4) return ring_read(given[1], std::stoi(given[3]));
    if (what == "queue-publish" && given.size() == 3) return queue_publish(arguments[2]);
    if (what == "queue-read" && given.size() == 4) return queue_read(arguments[2], std::stoi(given[3]));
    if (what == "ring-publish-turns" && given.size() == 4) return ring_publish_turns(given[1], arguments[4]);
    if (what == "ring-read-turns" && given.size() == 4) return ring_read_turns(given[1], arguments[4]);
    if (what == "queue-publish-turns" && given.size() == 4) return queue_publish_turns(arguments[2], arguments[4]);
    if (what == "queue-read-turns" && given.size() == 4) return queue_read_turns(arguments[2], arguments[4]);
    if (what == "ring-fill" && given.size() == 2) return ring_fill(given[1]);
    if (what == "ring-drain" && given.size() == 2) return ring_drain(given[1]);
    fail("one of the uses at the top of native.cpp", what.c_str());
}
