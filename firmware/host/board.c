/* The firmware as a program of this computer, behind a pseudo-terminal:
 *
 *     board heartbeat --link PATH --log FILE [--welded]
 *
 * It takes the arguments and writes the log of the simulated boards, so that the same
 * tests can speak to it. One relay and its contactor are simulated, 4 ms to drop and
 * 8 ms to pull in; SIGWINCH presses the reset button for 300 ms, SIGUSR1 pulls the
 * cable, SIGUSR2 pushes it in again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "../heartbeat.h"

#define PULL_IN_MS 8
#define DROP_OUT_MS 4
#define PRESS_MS 300

static volatile sig_atomic_t ends, unplugs, plugs, presses;
static const char *link_path;
static int log_fd = -1, master = -1, slave = -1;
static bool welded, closed, driven;
static uint32_t moves_ms, pressed_ms;
static bool is_moving, is_pressed;
static struct hb hb;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint32_t now_ms(void)
{
    return (uint32_t)(now_ns() / 1000000u);
}

static void note(const char *event, const char *facts)
{
    char line[1400];
    int size = snprintf(line, sizeof line, "{\"ns\": %llu, \"event\": \"%s\"%s}\n",
                        (unsigned long long)now_ns(), event, facts);
    if (write(log_fd, line, (size_t)size) != size)
        exit(3);
}

static void note_channel(const char *event, bool is_closed)
{
    note(event, is_closed ? ", \"channel\": 1, \"closed\": true" : ", \"channel\": 1, \"closed\": false");
}

static void note_bytes(const char *event, const uint8_t *bytes, int size)
{
    char facts[1024] = ", \"hex\": \"";
    char *at = facts + strlen(facts);
    for (int i = 0; i < size; i++)
        at += sprintf(at, i ? " %02x" : "%02x", bytes[i]);
    strcpy(at, "\"");
    note(event, facts);
}

static void on_signal(int number)
{
    ends |= number == SIGTERM || number == SIGINT || number == SIGHUP;
    unplugs |= number == SIGUSR1;
    plugs |= number == SIGUSR2;
    presses |= number == SIGWINCH;
}

static void move(bool to_closed)
{
    is_moving = false;
    if (closed == to_closed || (welded && !to_closed))
        return;
    closed = to_closed;
    note_channel("contact", closed);
}

static void plug(void)
{
    struct termios raw;
    char facts[256];
    if (master >= 0)
        return;
    cfmakeraw(&raw);
    raw.c_cflag |= CREAD | CLOCAL;
    if (openpty(&master, &slave, NULL, NULL, NULL) != 0 || tcsetattr(slave, TCSANOW, &raw) != 0)
        exit(3);
    fcntl(master, F_SETFL, O_NONBLOCK);
    unlink(link_path);
    if (symlink(ttyname(slave), link_path) != 0)
        exit(3);
    hb_init(&hb, (uint16_t)now_ns(), HB_K1_DROPPED, now_ms());
    snprintf(facts, sizeof facts, ", \"tty\": \"%s\"", ttyname(slave));
    note("plugged", facts);
}

static void unplug(void)
{
    if (master < 0)
        return;
    unlink(link_path);
    close(master);
    close(slave);
    master = slave = -1;
    driven = false;
    note("unplugged", "");
    move(false);
}

static void hear(void)
{
    uint8_t bytes[128], answer[HB_ANSWER_SIZE];
    int size = (int)read(master, bytes, sizeof bytes);
    if (size <= 0)
        return;
    note_bytes("bytes", bytes, size);
    for (int i = 0; i < size; i++) {
        if (hb_receive(&hb, now_ms(), bytes[i], answer) == 0)
            continue;
        if (hb.heard_word != HB_QUERY)
            note_channel("command", hb.heard_word == HB_RUN);
        if (write(master, answer, sizeof answer) == (ssize_t)sizeof answer)
            note_bytes("reply", answer, sizeof answer);
    }
}

static void follow(void)
{
    uint32_t now = now_ms();
    if (is_pressed && now - pressed_ms >= PRESS_MS)
        is_pressed = false;
    hb_tick(&hb, now, (uint8_t)((closed ? 0 : HB_K1_DROPPED) | (is_pressed ? HB_BUTTON_DOWN : 0)));
    if (hb_output(&hb) != driven) {
        driven = hb_output(&hb);
        is_moving = true;
        moves_ms = now + (driven ? PULL_IN_MS : DROP_OUT_MS);
    }
    if (is_moving && (int32_t)(now - moves_ms) >= 0)
        move(driven);
}

static void obey_signals(void)
{
    if (unplugs)
        unplugs = 0, unplug();
    if (plugs)
        plugs = 0, plug();
    if (presses)
        presses = 0, is_pressed = true, pressed_ms = now_ms();
}

static int usage(void)
{
    fprintf(stderr, "expected: board heartbeat --link PATH --log FILE [--welded]\n");
    return 2;
}

int main(int argc, char **argv)
{
    const char *log_path = NULL;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--link") == 0 && i + 1 < argc)
            link_path = argv[++i];
        else if (strcmp(argv[i], "--log") == 0 && i + 1 < argc)
            log_path = argv[++i];
        else if (strcmp(argv[i], "--welded") == 0)
            welded = true;
        else if (i + 1 < argc && strncmp(argv[i], "--", 2) == 0)
            i++; /* a fault with a number, which this board does not have */
    }
    if (!link_path || !log_path || (log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0644)) < 0)
        return usage();
    const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        signal(numbers[i], on_signal);
    sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 50});
    plug();
    puts("ready");
    fflush(stdout);
    while (!ends) {
        struct pollfd wait = {.fd = master, .events = POLLIN};
        obey_signals();
        if (master >= 0 && poll(&wait, 1, 1) > 0)
            hear();
        else if (master < 0)
            poll(NULL, 0, 1);
        if (master >= 0)
            follow();
    }
    unplug();
    note("end", "");
    return 0;
}
