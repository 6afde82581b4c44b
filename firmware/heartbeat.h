/* The board's side of the heartbeat protocol (docs/heartbeat-protocol.md).
 *
 * Portable C99 without a library, an allocation, an interrupt or a clock: the caller
 * brings time and inputs to hb_tick, at least every millisecond, and bytes to
 * hb_receive. Times are milliseconds that may wrap. Nothing but hb_output decides
 * whether the coil may be driven.
 */
#ifndef HEARTBEAT_H
#define HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

#define HB_VERSION 1
#define HB_REQUEST_SIZE 8
#define HB_ANSWER_SIZE 12

#define HB_SILENCE_MS 95u        /* without an accepted RUN; 100 with the tick and the relay driver */
#define HB_FEEDBACK_MS 300u      /* contactors must have followed by then */
#define HB_SHORTEST_PRESS_MS 100u
#define HB_LONGEST_PRESS_MS 3000u

enum hb_word { HB_STOP = 0x96, HB_RUN = 0x69, HB_QUERY = 0x3C };
enum hb_state { HB_STOPPED = 0, HB_RUNNING = 1, HB_LATCHED = 2 };
enum hb_cause {
    HB_NO_CAUSE = 0,
    HB_SILENCE = 1,
    HB_NONCE = 2,
    HB_SEQUENCE = 3,
    HB_FEEDBACK = 4,
    HB_UNKNOWN_WORD = 5
};

/* Inputs of hb_tick, debounced by the caller. A feedback bit is set while that
 * contactor's normally-closed contact is closed, that is, while it has dropped. */
#define HB_K1_DROPPED 0x01u
#define HB_K2_DROPPED 0x02u
#define HB_BUTTON_DOWN 0x04u
#define HB_BUTTON_STUCK 0x08u /* only in answers */

struct hb {
    uint8_t state;
    uint8_t cause;
    uint8_t inputs;
    uint8_t feedback; /* which contactors are wired back: HB_K1_DROPPED, HB_K2_DROPPED or both */
    uint16_t nonce;
    uint8_t run_seq;
    uint32_t run_ms;
    uint32_t changed_ms;
    uint32_t pressed_ms;
    bool pressed;
    bool press_counts;
    bool was_released; /* since power-up: a button held down then never counts */
    uint8_t got[HB_REQUEST_SIZE];
    uint8_t got_count;
    uint8_t heard_word; /* newest word of a whole frame, for logs */
};

/* Power-up: stopped. The nonce should differ from boot to boot. */
void hb_init(struct hb *hb, uint16_t nonce, uint8_t feedback, uint32_t now_ms);

/* Look at the time and at the inputs. */
void hb_tick(struct hb *hb, uint32_t now_ms, uint8_t inputs);

/* Take one byte in. Returns HB_ANSWER_SIZE if it ended a frame, whose answer is then in `answer`; else 0. */
int hb_receive(struct hb *hb, uint32_t now_ms, uint8_t byte, uint8_t answer[HB_ANSWER_SIZE]);

/* May the coil be driven? */
bool hb_output(const struct hb *hb);

/* The CRC of Modbus; its low byte is sent first. */
uint16_t hb_crc16(const uint8_t *data, int size);

#endif
