#include "heartbeat.h"

#include <string.h>

#define REQUEST_MARK 0xA5
#define ANSWER_MARK 0x5A
#define FURTHEST_SEQ 127

uint16_t hb_crc16(const uint8_t *data, int size)
{
    uint16_t crc = 0xFFFF;
    for (int i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 1) ? (uint16_t)(crc >> 1 ^ 0xA001) : (uint16_t)(crc >> 1);
    }
    return crc;
}

bool hb_output(const struct hb *hb)
{
    return hb->state == HB_RUNNING;
}

void hb_init(struct hb *hb, uint16_t nonce, uint8_t feedback, uint32_t now_ms)
{
    memset(hb, 0, sizeof *hb);
    hb->nonce = nonce;
    hb->feedback = feedback & (HB_K1_DROPPED | HB_K2_DROPPED);
    hb->inputs = hb->feedback;
    hb->changed_ms = now_ms;
}

/* --- states ------------------------------------------------------------------ */

static void become(struct hb *hb, uint32_t now_ms, uint8_t state, uint8_t cause)
{
    bool was_on = hb_output(hb);
    hb->state = state;
    hb->cause = cause;
    if (hb_output(hb) != was_on)
        hb->changed_ms = now_ms;
}

/* A running board latches; a stopped one only says why it stays so; the first cause of a latch is kept. */
static void refuse(struct hb *hb, uint32_t now_ms, uint8_t cause)
{
    if (hb->state == HB_RUNNING)
        become(hb, now_ms, HB_LATCHED, cause);
    else if (hb->state == HB_STOPPED)
        hb->cause = cause;
}

static bool feedback_follows(const struct hb *hb)
{
    uint8_t expected = hb_output(hb) ? 0 : hb->feedback;
    return (hb->inputs & hb->feedback) == expected;
}

static void watch(struct hb *hb, uint32_t now_ms)
{
    if (hb_output(hb) && now_ms - hb->run_ms >= HB_SILENCE_MS)
        become(hb, now_ms, HB_LATCHED, HB_SILENCE);
    if (now_ms - hb->changed_ms < HB_FEEDBACK_MS || feedback_follows(hb))
        return;
    if (hb->state != HB_LATCHED)
        become(hb, now_ms, HB_LATCHED, HB_FEEDBACK);
}

/* --- the button -------------------------------------------------------------- */

static void press(struct hb *hb, uint32_t now_ms)
{
    if (!hb->pressed) {
        hb->pressed = true;
        hb->pressed_ms = now_ms;
        hb->press_counts = hb->was_released;
    } else if (now_ms - hb->pressed_ms > HB_LONGEST_PRESS_MS) {
        hb->press_counts = false;
    }
    if (!hb->press_counts)
        hb->inputs |= HB_BUTTON_STUCK;
}

static void release(struct hb *hb, uint32_t now_ms)
{
    uint32_t held_ms = now_ms - hb->pressed_ms;
    bool was_reset = hb->pressed && hb->press_counts && held_ms >= HB_SHORTEST_PRESS_MS &&
                     held_ms <= HB_LONGEST_PRESS_MS;
    hb->pressed = false;
    hb->press_counts = false;
    hb->was_released = true;
    if (was_reset && hb->state == HB_LATCHED && feedback_follows(hb))
        become(hb, now_ms, HB_STOPPED, HB_NO_CAUSE);
}

void hb_tick(struct hb *hb, uint32_t now_ms, uint8_t inputs)
{
    hb->inputs = inputs & (hb->feedback | HB_BUTTON_DOWN);
    watch(hb, now_ms);
    if (hb->inputs & HB_BUTTON_DOWN)
        press(hb, now_ms);
    else
        release(hb, now_ms);
}

/* --- words ------------------------------------------------------------------- */

static void run(struct hb *hb, uint32_t now_ms, uint8_t seq, uint16_t nonce)
{
    uint8_t ahead = (uint8_t)(seq - hb->run_seq);
    if (hb->state == HB_LATCHED)
        return;
    if (nonce != hb->nonce) {
        refuse(hb, now_ms, HB_NONCE);
    } else if (hb->state == HB_RUNNING && (ahead < 1 || ahead > FURTHEST_SEQ)) {
        refuse(hb, now_ms, HB_SEQUENCE);
    } else if (hb->state == HB_STOPPED && !feedback_follows(hb)) {
        refuse(hb, now_ms, HB_FEEDBACK);
    } else {
        hb->nonce = (uint16_t)(hb->nonce * 25173u + 13849u);
        hb->run_seq = seq;
        hb->run_ms = now_ms;
        if (hb->state == HB_STOPPED)
            become(hb, now_ms, HB_RUNNING, HB_NO_CAUSE);
    }
}

static void heed(struct hb *hb, uint32_t now_ms)
{
    const uint8_t *got = hb->got;
    hb->heard_word = got[3];
    if (got[1] != HB_VERSION) {
        refuse(hb, now_ms, HB_UNKNOWN_WORD);
        return;
    }
    switch (got[3]) {
    case HB_STOP:
        if (hb->state == HB_RUNNING)
            become(hb, now_ms, HB_STOPPED, HB_NO_CAUSE);
        break;
    case HB_RUN:
        run(hb, now_ms, got[2], (uint16_t)(got[4] | got[5] << 8));
        break;
    case HB_QUERY:
        break;
    default:
        refuse(hb, now_ms, HB_UNKNOWN_WORD);
    }
}

static uint8_t low(uint32_t number)
{
    return (uint8_t)(number & 0xFF);
}

static uint8_t high(uint32_t number)
{
    return (uint8_t)(number >> 8 & 0xFF);
}

static void tell(const struct hb *hb, uint32_t now_ms, uint8_t answer[HB_ANSWER_SIZE])
{
    const uint8_t body[] = {ANSWER_MARK, HB_VERSION, hb->got[2], hb->state, hb->cause, hb->inputs,
                            low(hb->nonce), high(hb->nonce), low(now_ms), high(now_ms)};
    uint16_t crc = hb_crc16(body, sizeof body);
    memcpy(answer, body, sizeof body);
    answer[10] = low(crc);
    answer[11] = high(crc);
}

/* Forget the first bytes until a frame may begin with the rest. */
static void resume(struct hb *hb, int from)
{
    while (from < hb->got_count && hb->got[from] != REQUEST_MARK)
        from++;
    hb->got_count = (uint8_t)(hb->got_count - from);
    memmove(hb->got, hb->got + from, hb->got_count);
}

int hb_receive(struct hb *hb, uint32_t now_ms, uint8_t byte, uint8_t answer[HB_ANSWER_SIZE])
{
    hb->got[hb->got_count++] = byte;
    resume(hb, 0);
    if (hb->got_count < HB_REQUEST_SIZE)
        return 0;
    if (hb_crc16(hb->got, 6) != (uint16_t)(hb->got[6] | hb->got[7] << 8)) {
        resume(hb, 1);
        return 0;
    }
    watch(hb, now_ms);
    heed(hb, now_ms);
    tell(hb, now_ms, answer);
    hb->got_count = 0;
    return HB_ANSWER_SIZE;
}
