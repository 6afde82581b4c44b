/* An example for an RP2040 with the Pico SDK: the pins, the clock and the charge pump round heartbeat.c.
 *
 * PUMP drives the coil through a capacitor: only its edges do, and they come from the
 * main loop, so that a processor that hangs with the pin high lets go like one that
 * hangs with it low. External resistors pull PUMP down while the processor boots. K1
 * and K2 are normally-closed contacts to ground, BUTTON a normally-open one.
 *
 * Build with the Pico SDK and PICO_STDIO_USB_STDOUT_TIMEOUT_US=1000, so that a computer
 * that does not read cannot hold the loop up (the watchdog would end it); not part of this project's tests,
 * which compile heartbeat.c for the computer they run on.
 */
#include "../heartbeat.h"
#include "hardware/gpio.h"
#include "hardware/structs/rosc.h"
#include "hardware/watchdog.h"
#include "pico/stdlib.h"

enum { PUMP = 2, K1 = 3, K2 = 4, BUTTON = 5 };

#define FEEDBACK HB_K1_DROPPED /* | HB_K2_DROPPED where two contactors are wired back */
#define WATCHDOG_MS 50
#define DEBOUNCE_MS 5

static uint16_t chance(void)
{
    uint16_t bits = 0;
    for (int i = 0; i < 16; i++)
        bits = (uint16_t)(bits << 1 | (rosc_hw->randombit & 1));
    return bits;
}

/* Levels that have been equal for DEBOUNCE_MS. */
static uint8_t inputs(uint32_t now_ms)
{
    static uint8_t steady = FEEDBACK, newest = FEEDBACK;
    static uint32_t since_ms;
    uint8_t read = (uint8_t)((gpio_get(K1) ? 0 : HB_K1_DROPPED) | (gpio_get(K2) ? 0 : HB_K2_DROPPED) |
                             (gpio_get(BUTTON) ? 0 : HB_BUTTON_DOWN));
    if (read != newest) {
        newest = read;
        since_ms = now_ms;
    } else if (now_ms - since_ms >= DEBOUNCE_MS) {
        steady = newest;
    }
    return steady;
}

static void set_up(void)
{
    gpio_init(PUMP);
    gpio_put(PUMP, false);
    gpio_set_dir(PUMP, GPIO_OUT);
    for (uint pin = K1; pin <= BUTTON; pin++) {
        gpio_init(pin);
        gpio_pull_up(pin);
    }
    stdio_init_all();
    stdio_set_translate_crlf(&stdio_usb, false);
    watchdog_enable(WATCHDOG_MS, true);
}

int main(void)
{
    struct hb hb;
    set_up();
    hb_init(&hb, chance(), FEEDBACK, to_ms_since_boot(get_absolute_time()));
    for (;;) {
        uint32_t now_ms = to_ms_since_boot(get_absolute_time());
        uint8_t answer[HB_ANSWER_SIZE];
        hb_tick(&hb, now_ms, inputs(now_ms));
        int byte = getchar_timeout_us(0);
        if (byte >= 0 && hb_receive(&hb, now_ms, (uint8_t)byte, answer))
            for (int i = 0; i < HB_ANSWER_SIZE; i++)
                putchar_raw(answer[i]);
        gpio_put(PUMP, hb_output(&hb) && !gpio_get_out_level(PUMP));
        watchdog_update();
    }
}
