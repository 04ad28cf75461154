// What a program of the benchmark does besides its work: its core, its clock, its end, its report.
//
// A program ends when it is told to (SIGTERM), when its input is over, and when the process that started it has died.

#pragma once

#include <sched.h>
#include <sys/prctl.h>
#include <time.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

inline volatile std::sig_atomic_t told_to_end = 0, told_to_count = 0;

inline void follow_parent() {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::signal(SIGTERM, [](int) { told_to_end = 1; });
    std::signal(SIGUSR1, [](int) { told_to_count = 1; });
}

// Keep this process on one core; a negative number, or a refusal, leaves it where the kernel puts it.
inline void pin(int core) {
    if (core < 0) return;
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(core, &only);
    sched_setaffinity(0, sizeof only, &only);
}

inline void pause_core() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

inline std::int64_t monotonic_ns() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

[[noreturn]] inline void fail(const char* expected, const char* found) {
    std::fprintf(stderr, "expected %s, found %s\n", expected, found);
    std::exit(1);
}

inline void say(const char* word) {
    std::puts(word);
    std::fflush(stdout);
}

// One line: frames, nanoseconds, frames lost.
inline void report(std::int64_t frames, std::int64_t took_ns, std::int64_t lost) {
    std::printf("%lld %lld %lld\n", (long long)frames, (long long)took_ns, (long long)lost);
}
