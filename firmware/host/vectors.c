/* Hold heartbeat.c to vectors.csv:  vectors FILE  — one line and exit 1 for the first row that differs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../heartbeat.h"

#define COLUMNS 10
enum { CASE, NONCE, FEEDBACK, AT_MS, INPUTS, HEAR, SAY, RUNNING, STATE, CAUSE };

static int split(char *line, char *fields[COLUMNS])
{
    int count = 0;
    line[strcspn(line, "\r\n")] = '\0';
    for (char *at = line; at && count < COLUMNS; count++) {
        fields[count] = at;
        at = strchr(at, ',');
        if (at)
            *at++ = '\0';
    }
    return count;
}

static int from_hex(const char *text, uint8_t *bytes)
{
    int size = 0;
    for (unsigned value; sscanf(text, "%2x", &value) == 1; text += 2)
        bytes[size++] = (uint8_t)value;
    return size;
}

static int answers(struct hb *hb, uint32_t now_ms, const char *hear, uint8_t *said)
{
    uint8_t bytes[256];
    int size = from_hex(hear, bytes), said_size = 0;
    for (int i = 0; i < size; i++)
        said_size += hb_receive(hb, now_ms, bytes[i], said + said_size);
    return said_size;
}

static bool row_holds(struct hb *hb, char *fields[COLUMNS])
{
    uint8_t said[512], expected[512];
    uint32_t now_ms = (uint32_t)strtoul(fields[AT_MS], NULL, 10);
    hb_tick(hb, now_ms, (uint8_t)strtoul(fields[INPUTS], NULL, 10));
    int size = answers(hb, now_ms, fields[HEAR], said);
    return size == from_hex(fields[SAY], expected) && memcmp(said, expected, (size_t)size) == 0 &&
           hb_output(hb) == (atoi(fields[RUNNING]) != 0) && hb->state == atoi(fields[STATE]) &&
           hb->cause == atoi(fields[CAUSE]);
}

int main(int argc, char **argv)
{
    FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;
    char line[2048], name[128] = "";
    char *fields[COLUMNS];
    struct hb hb;
    int rows = 0;
    if (!file || !fgets(line, sizeof line, file))
        return 2;
    for (int number = 2; fgets(line, sizeof line, file); number++, rows++) {
        if (split(line, fields) != COLUMNS)
            return 2;
        if (strcmp(name, fields[CASE]) != 0)
            hb_init(&hb, (uint16_t)strtoul(fields[NONCE], NULL, 10), (uint8_t)atoi(fields[FEEDBACK]), 0);
        snprintf(name, sizeof name, "%s", fields[CASE]);
        if (!row_holds(&hb, fields)) {
            printf("line %d (%s): state %d cause %d\n", number, name, hb.state, hb.cause);
            return 1;
        }
    }
    printf("%d rows\n", rows);
    return 0;
}
